//! Levels and quality.

use egui::{Rect, Role, Sense, Ui, WidgetInfo, pos2, vec2};

use crate::theme::Theme;

/// A level from 0 to 1 as a row of bars in the middle of `place`.
pub(crate) fn meter(ui: &Ui, t: &Theme, name: &str, level: f32, place: Rect) {
    const STEP: f32 = 5.0;
    let rect = Rect::from_center_size(place.center(), vec2(place.width(), t.px(10.0)));
    let response = ui.interact(rect, ui.scope_id().with(name), Sense::hover());
    let level = if level.is_finite() {
        level.clamp(0.0, 1.0)
    } else {
        0.0
    };
    // The ear is logarithmic: -60 dB of full scale is the left end.
    let shown = if level <= 0.001 {
        0.0
    } else {
        (1.0 + level.log10() / 3.0).clamp(0.0, 1.0)
    };
    let bars = (rect.width() / STEP).floor() as usize;
    let lit = (shown * bars as f32).round() as usize;
    for bar in 0..bars {
        let place = Rect::from_min_size(
            pos2(rect.left() + bar as f32 * STEP, rect.top()),
            vec2(STEP - 2.0, rect.height()),
        );
        let colour = if bar >= lit {
            t.selected
        } else if bar * 10 >= bars * 9 {
            t.warn
        } else {
            t.good
        };
        ui.painter().rect_filled(place, 1.0, colour);
    }
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::Meter, true, name);
        info.value = Some((f64::from(shown) * 100.0).round());
        info
    });
}

/// Quality from 1 to 4.5 as four rising bars, painted into `rect`.
pub(crate) fn signal(ui: &Ui, t: &Theme, rect: Rect, mos: Option<f32>) {
    let lit = match mos {
        None => 0,
        Some(mos) if mos >= 4.0 => 4,
        Some(mos) if mos >= 3.6 => 3,
        Some(mos) if mos >= 3.1 => 2,
        Some(_) => 1,
    };
    let colour = match lit {
        4 | 3 => t.good,
        2 => t.warn,
        _ => t.bad,
    };
    let width = 3.0;
    for bar in 0..4 {
        let height = rect.height() * (0.4 + 0.2 * bar as f32);
        let left = rect.left() + bar as f32 * (width + 1.5);
        let place = Rect::from_min_max(
            pos2(left, rect.bottom() - height),
            pos2(left + width, rect.bottom()),
        );
        let ink = if bar < lit { colour } else { t.selected };
        ui.painter().rect_filled(place, 1.0, ink);
    }
}
