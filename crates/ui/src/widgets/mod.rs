//! The parts that screens are made of. Each is drawn from the theme's tokens, shows hover and focus, and
//! has a name for screen readers.

mod button;
mod choice;
mod field;
mod list;
mod mark;
mod meter;
mod slider;
mod text;

pub(crate) use button::{Button, Kind};
pub(crate) use choice::{
    menu_act, menu_frame, menu_row, segmented, segmented_width, select, switch,
};
pub(crate) use field::{Field, form_row};
pub(crate) use list::{Rows, row_ground, rows};
pub(crate) use mark::{
    badge, lamp_mark, lamp_words, light_mark, outcome_words, registration_mark, registration_words,
    tenant_mark,
};
pub(crate) use meter::{meter, signal};
pub(crate) use slider::percent_slider;
pub(crate) use text::{caption, empty, galley, heading, icon_in, label, paragraph, text_in};
