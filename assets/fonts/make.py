#!/usr/bin/env python3
"""Makes the bundled fonts from their upstream releases.

    make.py INTER_DIR JETBRAINS_DIR PHOSPHOR_DIR

INTER_DIR holds Inter-Regular.otf and Inter-SemiBold.otf (Debian package fonts-inter),
JETBRAINS_DIR holds JetBrainsMono-Regular.ttf (Debian package fonts-jetbrains-mono),
PHOSPHOR_DIR is `src` of the npm package @phosphor-icons/web. Needs fonttools. With `-` for the first two only
the icons are made.

Inter: Latin, Greek and Cyrillic are kept; outlines become quadratic; the digits are replaced by their
tabular forms, since the window sets numbers that change everywhere and the text engine has no switch
for font features; letters stand a little closer. JetBrains Mono: the coding ligatures are dropped, since a trace must show what was
sent. Phosphor: only the icons in ICONS stay, and `crates/ui/src/icons.rs` is written from the same list.
"""
import json
import pathlib
import sys

from fontTools import subset
from fontTools.pens.cu2quPen import Cu2QuPen
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable

HERE = pathlib.Path(__file__).parent

TEXT = [
    *range(0x20, 0x7F), *range(0xA0, 0x250), *range(0x2B0, 0x300), *range(0x300, 0x370),
    *range(0x370, 0x400), *range(0x400, 0x460), *range(0x1E00, 0x1F00), *range(0x2000, 0x2060),
    *range(0x2070, 0x20A0), *range(0x20A0, 0x20C0), 0x2116, 0x2122, *range(0x2190, 0x219A),
    0x21A9, 0x21BB, 0x2212, 0x2215, 0x2248, 0x2260, 0x2264, 0x2265, 0x221E, 0x25CF, 0x25CB,
    0x2713, 0xFFFD,
]

ICONS = """
arrow-bend-up-right arrow-clockwise arrow-down arrow-down-left arrow-left arrow-up
arrow-up-right arrows-left-right arrows-merge backspace bell bell-slash broadcast caret-down
caret-right chat-circle-text chat-text chats check check-circle clock-counter-clockwise copy
dots-nine eye eye-slash funnel gear-six hourglass info keyboard lightning list-bullets
lock-key-open lock-simple lock-simple-open magnifying-glass microphone microphone-slash
paper-plane-right pause pencil-simple phone phone-call phone-disconnect phone-incoming
phone-outgoing phone-transfer phone-x play plus record shield shield-check
shield-slash shield-warning speaker-high speaker-slash stack trash user-circle voicemail warning
warning-circle x
""".split()


def to_quadratic(font: TTFont) -> None:
    """Replaces CFF outlines by TrueType ones."""
    glyphs = font.getGlyphSet()
    order = font.getGlyphOrder()
    glyf = newTable("glyf")
    glyf.glyphOrder = order
    glyf.glyphs = {}
    for name in order:
        pen = TTGlyphPen(glyphs)
        glyphs[name].draw(Cu2QuPen(pen, 0.6, reverse_direction=True))
        glyf.glyphs[name] = pen.glyph()
    font["glyf"] = glyf
    font["loca"] = newTable("loca")
    del font["CFF "]
    if "VORG" in font:
        del font["VORG"]
    maxp = font["maxp"]
    maxp.tableVersion = 0x00010000
    for field in ("maxZones maxTwilightPoints maxStorage maxFunctionDefs maxInstructionDefs "
                  "maxStackElements maxSizeOfInstructions maxComponentElements").split():
        setattr(maxp, field, 0)
    maxp.maxZones = 1
    font["head"].glyphDataFormat = 0
    font["post"].formatType = 2.0
    font["post"].extraNames = []
    font["post"].mapping = {}
    font.sfntVersion = "\000\001\000\000"


def tabular_digits(font: TTFont) -> None:
    """Points the digits at their tabular alternates."""
    gsub = font["GSUB"].table
    swaps = {}
    for record in gsub.FeatureList.FeatureRecord:
        if record.FeatureTag == "tnum":
            for index in record.Feature.LookupListIndex:
                for table in gsub.LookupList.Lookup[index].SubTable:
                    table = getattr(table, "ExtSubTable", table)
                    swaps.update(getattr(table, "mapping", {}))
    for table in font["cmap"].tables:
        for code in b"0123456789":
            name = table.cmap.get(code)
            if name in swaps:
                table.cmap[code] = swaps[name]


def tighten(font: TTFont, share: float) -> None:
    """Takes a share of the em from each glyph's advance. Inter's text cut is spaced for running text of
    any size; a window full of short labels at 11 to 13 pixels reads calmer a little closer."""
    by = round(font["head"].unitsPerEm * share)
    widths = font["hmtx"].metrics
    for name, (advance, bearing) in widths.items():
        if advance > 2 * by:
            widths[name] = (advance - by, bearing - by // 2)


def true_bearings(font: TTFont) -> None:
    """Sets each left side bearing to where the outline begins. Phosphor's tables say 0 everywhere; with
    the boxes worked out anew on saving, a rasteriser would move every icon to the left by them."""
    widths = font["hmtx"].metrics
    for name, (advance, _) in widths.items():
        glyph = font["glyf"][name]
        glyph.recalcBounds(font["glyf"])
        widths[name] = (advance, glyph.xMin if glyph.numberOfContours else 0)


def reduce(font: TTFont, codes, features) -> None:
    options = subset.Options()
    options.layout_features = features
    options.hinting = False
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.notdef_outline = True
    options.glyph_names = False
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=codes)
    cutter.subset(font)


def constant(name: str) -> str:
    return name.upper().replace("-", "_")


def main() -> None:
    inter, jetbrains, phosphor = map(pathlib.Path, sys.argv[1:4])
    if str(inter) != "-":
        letters(inter, jetbrains)
    icons(phosphor)


def letters(inter: pathlib.Path, jetbrains: pathlib.Path) -> None:
    for weight in ("Regular", "SemiBold"):
        font = TTFont(inter / f"Inter-{weight}.otf")
        tabular_digits(font)
        reduce(font, TEXT, ["kern", "mark", "mkmk", "ccmp", "locl"])
        to_quadratic(font)
        tighten(font, 0.014 if weight == "Regular" else 0.008)
        font.save(HERE / f"Inter-{weight}.ttf")
    font = TTFont(jetbrains / "JetBrainsMono-Regular.ttf")
    reduce(font, TEXT, ["mark", "mkmk", "ccmp"])
    font.save(HERE / "JetBrainsMono-Regular.ttf")


def icons(phosphor: pathlib.Path) -> None:
    codes = {}
    for style, file in (("regular", "Phosphor"), ("fill", "Phosphor-Fill")):
        listing = json.loads((phosphor / style / "selection.json").read_text())
        suffix = "" if style == "regular" else "-fill"
        by_name = {i["properties"]["name"].split(",")[0]: i["properties"]["code"] for i in listing["icons"]}
        found = {name: by_name[name + suffix] for name in ICONS}
        if codes and codes != found:
            raise SystemExit("regular and fill disagree about a code point")
        codes = found
        font = TTFont(phosphor / style / f"{file}.ttf")
        reduce(font, found.values(), [])
        true_bearings(font)
        font.save(HERE / f"{file}.ttf")

    lines = [
        "//! The icons of the bundled Phosphor fonts. Written by `assets/fonts/make.py`.",
        "",
    ]
    lines += [f'pub(crate) const {constant(n)}: &str = "\\u{{{c:04x}}}";' for n, c in sorted(codes.items())]
    (HERE / "../../crates/ui/src/icons.rs").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
