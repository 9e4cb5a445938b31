//! egui screens and widgets over a view state.
