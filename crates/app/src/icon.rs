//! The program's icon, drawn here: a receiver on the accent colour.

use eframe::egui::IconData;

/// Width and height in pixels: what task bars show at most without scaling up much.
const SIZE: u32 = 64;
/// Each pixel is looked at so many times in both directions, for smooth edges.
const SAMPLES: u32 = 4;
const GROUND: [f32; 3] = [45.0, 98.0, 217.0];
const INK: [f32; 3] = [255.0, 255.0, 255.0];

/// The icon at the only size that there is.
pub(crate) fn icon() -> IconData {
    let mut rgba = Vec::with_capacity((SIZE * SIZE * 4) as usize);
    for y in 0..SIZE {
        for x in 0..SIZE {
            rgba.extend(pixel(x, y));
        }
    }
    IconData {
        rgba,
        width: SIZE,
        height: SIZE,
    }
}

/// A pixel, not premultiplied.
fn pixel(x: u32, y: u32) -> [u8; 4] {
    let (mut covered, mut inked) = (0.0_f32, 0.0_f32);
    for sy in 0..SAMPLES {
        for sx in 0..SAMPLES {
            let place = |whole: u32, part: u32| {
                let part = (part as f32 + 0.5) / SAMPLES as f32;
                (whole as f32 + part) / SIZE as f32 * 2.0 - 1.0
            };
            let at = (place(x, sx), place(y, sy));
            covered += f32::from(is_ground(at));
            inked += f32::from(is_receiver(at));
        }
    }
    if covered == 0.0 {
        return [0; 4];
    }
    let ink = (inked / covered).min(1.0);
    let mix = |part: usize| {
        let colour = GROUND[part] + (INK[part] - GROUND[part]) * ink;
        colour.round() as u8
    };
    let all = (SAMPLES * SAMPLES) as f32;
    let alpha = (covered / all * 255.0).round() as u8;
    [mix(0), mix(1), mix(2), alpha]
}

/// A square with round corners, in coordinates from -1 to 1.
fn is_ground((x, y): (f32, f32)) -> bool {
    const CORNER: f32 = 0.44;
    let outside = |v: f32| (v.abs() - (1.0 - CORNER)).max(0.0);
    outside(x).hypot(outside(y)) <= CORNER
}

/// A receiver, lying as it is held: a bow with a thick piece at each end.
fn is_receiver((x, y): (f32, f32)) -> bool {
    // Turned so that it runs along one axis, from ear to mouth.
    let (along, across) = ((x + y) * 0.707, (y - x) * 0.707);
    let bow = {
        let (radius, thickness) = (0.78, 0.13);
        let centre = -0.62;
        let from_centre = along.hypot(across - centre);
        let lower = across > centre && along.abs() <= 0.56;
        lower && (from_centre - radius).abs() <= thickness
    };
    let end = |side: f32| {
        let (dx, dy) = (along - side * 0.47, across + 0.10);
        dx.abs() <= 0.17 && dy.abs() <= 0.23
    };
    bow || end(1.0) || end(-1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_icon_has_clear_corners_a_ground_and_a_receiver() {
        let icon = icon();
        assert_eq!(icon.rgba.len(), (icon.width * icon.height * 4) as usize);
        let at = |x: usize, y: usize| &icon.rgba[(y * SIZE as usize + x) * 4..][..4];
        assert_eq!(at(0, 0)[3], 0);
        assert_eq!(at(63, 63)[3], 0);
        assert_eq!(at(32, 4), [45, 98, 217, 255]);
        let white = icon.rgba.chunks(4).filter(|p| p == &[255; 4]).count();
        assert!((300..900).contains(&white), "{white}");
    }
}
