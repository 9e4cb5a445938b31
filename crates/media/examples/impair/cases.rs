//! What is tried.

use std::time::Duration;

use codecs::CodecKind;

use crate::impaired::Impairment;

const CODECS: [CodecKind; 4] = [
    CodecKind::Opus,
    CodecKind::G722,
    CodecKind::Pcmu,
    CodecKind::Pcma,
];

/// All of them, or the one that `IMPAIR_CODEC` names.
pub(crate) fn codecs() -> Vec<CodecKind> {
    let only = std::env::var("IMPAIR_CODEC").ok();
    let wanted = |kind: &CodecKind| {
        let name = only.as_deref();
        name.is_none_or(|only| kind.name().eq_ignore_ascii_case(only))
    };
    CODECS.into_iter().filter(wanted).collect()
}

/// The rates at which a codec is scored: all as if on a narrow-band telephone, and what is more than that as it is.
pub(crate) fn scored_at(kind: CodecKind) -> &'static [u32] {
    match kind {
        CodecKind::Opus | CodecKind::G722 => &[8_000, 16_000],
        CodecKind::Pcmu | CodecKind::Pcma => &[8_000],
    }
}

/// The seed of all faults.
pub(crate) const SEED: u64 = 2_026;

/// A network with a name.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) impairment: Impairment,
}

/// Every case, from good to bad.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (loss, jitter) in [
        (0, 0),
        (0, 30),
        (0, 60),
        (0, 100),
        (1, 30),
        (3, 30),
        (5, 0),
        (5, 30),
        (10, 30),
    ] {
        cases.push(Case {
            name: format!("{loss} % lost, jitter {jitter} ms"),
            impairment: Impairment {
                loss: f64::from(loss) / 100.0,
                jitter: Duration::from_millis(jitter),
                ..Impairment::NONE
            },
        });
    }
    for loss in [1, 3, 5, 10] {
        cases.push(Case {
            name: format!("{loss} % lost in bursts of 3, jitter 30 ms"),
            impairment: Impairment {
                loss: f64::from(loss) / 100.0,
                burst: 3.0,
                jitter: Duration::from_millis(30),
                ..Impairment::NONE
            },
        });
    }
    cases.push(Case {
        name: "one in ten overtaken".to_owned(),
        impairment: Impairment {
            reordered: 0.1,
            ..Impairment::NONE
        },
    });
    for (drift_ppm, name) in [(200.0, "fast"), (-200.0, "slow")] {
        cases.push(Case {
            name: format!("their clock 200 ppm too {name}"),
            impairment: Impairment {
                drift_ppm,
                ..Impairment::NONE
            },
        });
    }
    cases
}
