#!/usr/bin/env python3
"""Makes the bundled fonts from their upstream releases.

    make.py INTER_DIR JETBRAINS_DIR PHOSPHOR_DIR

INTER_DIR holds Inter-Regular.otf and Inter-SemiBold.otf (Debian package fonts-inter),
JETBRAINS_DIR holds JetBrainsMono-Regular.ttf (Debian package fonts-jetbrains-mono),
PHOSPHOR_DIR is `src` of the npm package @phosphor-icons/web. Needs fonttools.

Inter: Latin, Greek and Cyrillic are kept; outlines become quadratic; the digits are replaced by their
tabular forms, since the window sets numbers that change everywhere and the text engine has no switch
for font features. JetBrains Mono: the coding ligatures are dropped, since a trace must show what was
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
phone phone-call phone-disconnect phone-incoming phone-outgoing phone-x phone-slash phone-plus
phone-pause microphone microphone-slash pause play dots-nine backspace speaker-high speaker-slash
clock-counter-clockwise list-magnifying-glass users users-three buildings gear gear-six plus x check
caret-down caret-up caret-right caret-left magnifying-glass funnel pulse waveform arrow-up-right
arrow-down-left arrow-bend-up-right arrow-right arrow-left arrow-up arrow-down arrows-left-right
arrow-clockwise arrow-counter-clockwise warning warning-circle warning-octagon info question keyboard trash pencil-simple
copy lock-simple lock-simple-open lock dots-three dots-three-vertical sign-in sign-out plugs plugs-connected
wifi-slash wifi-high eye eye-slash headset headphones circle-half sun moon palette text-aa text-t
sidebar-simple stack broadcast cell-signal-full cell-signal-medium cell-signal-low cell-signal-none
prohibit clock timer user user-circle user-plus address-book star flask test-tube export download-simple
upload-simple link link-break check-circle x-circle circle circle-dashed hourglass spinner stop record
key shield-check globe globe-simple house rows columns squares-four tree-structure path git-branch
lightning bell bell-slash note note-pencil paper-plane-tilt envelope-simple
voicemail monitor desktop hard-drives share-network bug terminal-window file-text
arrows-clockwise arrow-u-up-left corners-out minus equals hash asterisk
sort-ascending sort-descending funnel-simple faders sliders-horizontal
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
    for weight in ("Regular", "SemiBold"):
        font = TTFont(inter / f"Inter-{weight}.otf")
        tabular_digits(font)
        reduce(font, TEXT, ["kern", "mark", "mkmk", "ccmp", "locl"])
        to_quadratic(font)
        font.save(HERE / f"Inter-{weight}.ttf")
    font = TTFont(jetbrains / "JetBrainsMono-Regular.ttf")
    reduce(font, TEXT, ["mark", "mkmk", "ccmp"])
    font.save(HERE / "JetBrainsMono-Regular.ttf")

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
        font.save(HERE / f"{file}.ttf")

    lines = [
        "//! The icons of the bundled Phosphor fonts. Written by `assets/fonts/make.py`.",
        "#![allow(dead_code, missing_docs, reason = \"each constant is named like its icon\")]",
        "",
    ]
    lines += [f'pub(crate) const {constant(n)}: &str = "\\u{{{c:04x}}}";' for n, c in sorted(codes.items())]
    (HERE / "../../crates/ui/src/icons.rs").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
