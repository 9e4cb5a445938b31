//! Sound that is missing, as it is told to a person: once when that begins, and once when it is over.

use std::mem::{Discriminant, discriminant};

use model::Silence;

/// What was said last of a call: of what we say, and of what we hear.
#[derive(Default)]
pub(crate) struct Missing {
    ours: Option<Discriminant<Silence>>,
    theirs: Option<Discriminant<Silence>>,
}

impl Missing {
    /// What there is to say now. `talks` is whether the call is up and nobody holds it.
    pub(crate) fn lines(&mut self, silences: &[Silence], talks: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (ours, told) in [(true, &mut self.ours), (false, &mut self.theirs)] {
            let mut now = silences.iter().filter(|why| talks && is_told(why));
            let now = now.find(|why| why.is_ours() == ours);
            // What was wished since is another reason, and no end of the silence.
            let mut wished = silences.iter().filter(|why| !is_told(why));
            let is_silent =
                wished.any(|why| why.is_ours() == ours || matches!(why, Silence::Agreed { .. }));
            let before = std::mem::replace(told, now.map(discriminant));
            match now {
                Some(why) if before != Some(discriminant(why)) => lines.push(why.to_string()),
                None if before.is_some() && talks && !is_silent => lines.push(
                    match ours {
                        true => "What is sent gets through again.",
                        false => "Sound comes again.",
                    }
                    .to_owned(),
                ),
                _ => {}
            }
        }
        lines
    }
}

/// What somebody wished is no surprise, and neither is a peer that says nothing.
fn is_told(why: &Silence) -> bool {
    !matches!(
        why,
        Silence::Muted
            | Silence::HeldByUs
            | Silence::HeldByPeer
            | Silence::Agreed { .. }
            | Silence::SilenceReceived
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::MediaDirection;

    fn stopped(seconds: u64) -> Vec<Silence> {
        vec![Silence::StoppedReceiving { seconds }]
    }

    #[test]
    fn it_is_said_once_that_nothing_comes_and_once_that_it_does() {
        let mut missing = Missing::default();
        assert!(missing.lines(&[], true).is_empty());
        let said: Vec<String> = (3..60)
            .flat_map(|seconds| missing.lines(&stopped(seconds), true))
            .collect();
        assert_eq!(said, ["Nothing has come for 3 s."]);
        assert_eq!(missing.lines(&[], true), ["Sound comes again."]);
        assert!(missing.lines(&[], true).is_empty());
        // The other direction is another matter, and another reason another sentence.
        let refused = Silence::NotSent { packets: 3 };
        let both = [stopped(3), vec![refused.clone()]].concat();
        assert_eq!(missing.lines(&both, true).len(), 2);
        let dropped = Silence::Dropped { packets: 1 };
        let said = missing.lines(&[refused, dropped.clone()], true);
        assert_eq!(said, [dropped.to_string()]);
    }

    #[test]
    fn what_was_wished_meanwhile_ends_no_silence() {
        let only = |direction| Silence::Agreed { direction };
        for (missed, wish) in [
            (Silence::NothingCaptured, Silence::Muted),
            (Silence::NothingCaptured, only(MediaDirection::ReceiveOnly)),
            (
                Silence::StoppedReceiving { seconds: 3 },
                only(MediaDirection::SendOnly),
            ),
            (
                Silence::StoppedReceiving { seconds: 3 },
                Silence::SilenceReceived,
            ),
        ] {
            let mut missing = Missing::default();
            assert_eq!(missing.lines(std::slice::from_ref(&missed), true).len(), 1);
            assert!(missing.lines(&[wish], true).is_empty(), "{missed:?}");
        }
    }

    #[test]
    fn a_hold_or_the_end_of_the_call_ends_nothing() {
        let mut missing = Missing::default();
        assert_eq!(missing.lines(&stopped(3), true).len(), 1);
        assert!(missing.lines(&[Silence::HeldByPeer], false).is_empty());
        assert!(missing.lines(&[], true).is_empty());
        for wish in [Silence::Muted, Silence::SilenceReceived] {
            assert!(missing.lines(&[wish], true).is_empty());
        }
    }
}
