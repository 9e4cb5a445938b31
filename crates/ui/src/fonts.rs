//! The bundled typefaces: Inter for words, JetBrains Mono for SIP, Phosphor for icons.

use std::sync::Arc;

use egui::{FontData, FontDefinitions, FontFamily, FontTweak};

/// Name of the family of words that are to be seen first.
pub(crate) const STRONG: &str = "strong";
/// Name of the family of outlined icons.
pub(crate) const ICONS: &str = "icons";
/// Name of the family of filled icons.
pub(crate) const ICONS_FILL: &str = "icons-fill";

/// The families and their files. Words fall back to the monospaced face and the other way round, for
/// the few characters that one of them lacks.
pub(crate) fn definitions() -> FontDefinitions {
    let mut fonts = FontDefinitions::empty();
    let files: [(&str, &'static [u8], f32); 5] = [
        (
            "inter",
            include_bytes!("../../../assets/fonts/Inter-Regular.ttf"),
            0.0,
        ),
        (
            "inter-semibold",
            include_bytes!("../../../assets/fonts/Inter-SemiBold.ttf"),
            0.0,
        ),
        (
            "mono",
            include_bytes!("../../../assets/fonts/JetBrainsMono-Regular.ttf"),
            0.0,
        ),
        (
            "phosphor",
            include_bytes!("../../../assets/fonts/Phosphor.ttf"),
            0.0,
        ),
        (
            "phosphor-fill",
            include_bytes!("../../../assets/fonts/Phosphor-Fill.ttf"),
            0.0,
        ),
    ];
    for (name, bytes, y_offset_factor) in files {
        let data = FontData::from_static(bytes).tweak(FontTweak {
            y_offset_factor,
            ..FontTweak::default()
        });
        fonts.font_data.insert(name.to_owned(), Arc::new(data));
    }
    let families: [(FontFamily, &[&str]); 5] = [
        (FontFamily::Proportional, &["inter", "mono"]),
        (FontFamily::Monospace, &["mono", "inter"]),
        (FontFamily::Name(STRONG.into()), &["inter-semibold", "mono"]),
        (FontFamily::Name(ICONS.into()), &["phosphor"]),
        (FontFamily::Name(ICONS_FILL.into()), &["phosphor-fill"]),
    ];
    for (family, names) in families {
        fonts
            .families
            .insert(family, names.iter().map(|&n| n.to_owned()).collect());
    }
    fonts
}
