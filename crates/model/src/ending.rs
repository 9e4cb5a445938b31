//! Who ended a call that did not fail, and what was said of why (RFC 3326).

use serde::{Deserialize, Serialize};

use crate::{Private, Sentence};

/// The most causes that are kept of one end.
const CAUSES: usize = 4;
/// The most characters of a peer's own words.
const TEXT: usize = 120;

/// Who ended a call, by which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedHow {
    /// Our side hung up, gave up or declined.
    ByUs,
    /// The peer hung up.
    ByThem,
    /// The caller gave up before it was answered here.
    CallerGaveUp,
}

/// One cause of a Reason header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Whose code it is: `SIP`, `Q.850` ….
    pub protocol: String,
    /// The code.
    pub code: Option<u16>,
    /// The peer's words.
    pub text: Option<Private>,
}

/// How a call ended that did not fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Who ended it.
    pub how: EndedHow,
    /// Why, as the peer said.
    pub causes: Vec<Cause>,
}

impl Cause {
    /// A cause as a peer told it, cut to a length that a person reads.
    pub fn new(protocol: &str, code: Option<u16>, text: Option<&str>) -> Self {
        let cut = |text: &str, most: usize| text.trim().chars().take(most).collect::<String>();
        let text = text
            .map(|text| cut(text, TEXT))
            .filter(|text| !text.is_empty());
        Self {
            protocol: cut(protocol, 16),
            code,
            text: text.map(Into::into),
        }
    }

    fn is_sip(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("SIP")
    }

    fn is_q850(&self) -> bool {
        self.protocol.eq_ignore_ascii_case("Q.850")
    }

    /// Another phone has the call: SIP 200 (RFC 3326 §3.1), or Q.850 26 of networks that say it so.
    fn is_elsewhere(&self) -> bool {
        (self.is_sip() && self.code == Some(200)) || (self.is_q850() && self.code == Some(26))
    }

    /// Whether it says no more than that a call ended as calls do: Q.850 16 and 31, SIP 200.
    fn is_usual(&self) -> bool {
        (self.is_q850() && matches!(self.code, Some(16 | 31)))
            || (self.is_sip() && self.code == Some(200))
    }

    /// `temporary failure (Q.850 cause 41, “Temporary Failure”)`.
    fn words(&self) -> String {
        let known = self
            .code
            .filter(|_| self.is_q850())
            .and_then(q850)
            .map(str::to_owned);
        let text = self.text.as_ref().map(Private::reveal);
        let code = self.code.map(|code| match self.is_sip() {
            true => format!("SIP {code}"),
            false => format!("{} cause {code}", self.protocol),
        });
        let quoted = text.map(|text| format!("“{text}”"));
        let (first, rest) = match (known, quoted) {
            (Some(known), quoted) => (known, [code, quoted]),
            (None, Some(quoted)) => (quoted, [code, None]),
            (None, None) => return code.unwrap_or_else(|| self.protocol.clone()),
        };
        let rest = rest.into_iter().flatten().collect::<Vec<_>>().join(", ");
        match rest.is_empty() {
            true => first,
            false => format!("{first} ({rest})"),
        }
    }
}

impl Ending {
    /// An end with what was said of why; more than a few causes say nothing more.
    pub fn new(how: EndedHow, causes: impl IntoIterator<Item = Cause>) -> Self {
        Self {
            how,
            causes: causes.into_iter().take(CAUSES).collect(),
        }
    }

    /// The caller was answered by another phone: nobody missed the call.
    pub fn is_elsewhere(&self) -> bool {
        self.how == EndedHow::CallerGaveUp && self.causes.iter().any(Cause::is_elsewhere)
    }

    /// Whether it says more than that a call ended as calls do.
    pub fn is_notable(&self) -> bool {
        self.is_elsewhere() || self.causes.iter().any(|cause| !cause.is_usual())
    }

    /// One sentence for a person; `None` where our own user ended it and nobody said anything.
    pub fn sentence(&self) -> Option<Sentence> {
        let who = match self.how {
            _ if self.is_elsewhere() => return Some("Another phone took the call.".into()),
            EndedHow::ByUs if !self.is_notable() => return None,
            EndedHow::ByUs => "We hung up",
            EndedHow::ByThem => "They hung up",
            EndedHow::CallerGaveUp => "The caller gave up",
        };
        let why = self.causes.iter().filter(|cause| !cause.is_usual());
        let why = why.map(Cause::words).collect::<Vec<_>>().join("; ");
        Some(
            match why.is_empty() {
                true => format!("{who}."),
                false => format!("{who}: {why}."),
            }
            .into(),
        )
    }
}

/// The causes of ITU-T Q.850 that telephone networks send, in plain words.
fn q850(cause: u16) -> Option<&'static str> {
    Some(match cause {
        1 => "the number is not in use",
        2 | 3 => "the network knows no route to the number",
        16 => "the call was ended as usual",
        17 => "the line is busy",
        18 => "the other phone does not respond",
        19 => "nobody answered",
        20 => "the other phone is switched off or out of reach",
        21 => "the call was declined",
        22 => "the number has changed",
        26 => "another phone took the call",
        27 => "the other line is out of order",
        28 => "the number is incomplete or misspelt",
        29 => "a facility was refused",
        31 => "the call was ended, no cause given",
        34 => "no line is free in the network",
        38 => "the network is out of order",
        41 => "a temporary failure in the network",
        42 => "the exchange is overloaded",
        44 => "the wanted channel is not free",
        47 => "no resources are left in the network",
        50 => "the facility is not subscribed to",
        57 => "this kind of call is not allowed for this line",
        58 => "this kind of call is not possible now",
        63 => "the service is not available",
        65 | 79 => "this kind of call is not supported",
        88 => "the two ends do not fit together",
        102 => "a timer ran out in the network",
        111 => "a protocol error in the network",
        127 => "the network on the way says no more than that it failed",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(how: EndedHow, causes: &[(&str, Option<u16>, Option<&str>)]) -> Option<String> {
        let causes = causes
            .iter()
            .map(|(protocol, code, text)| Cause::new(protocol, *code, *text));
        Ending::new(how, causes)
            .sentence()
            .map(Sentence::into_revealed)
    }

    #[test]
    fn who_hung_up_and_why_is_one_sentence() {
        use EndedHow::{ByThem, ByUs, CallerGaveUp};
        let is = |how, causes: &[_], sentence: &str| {
            assert_eq!(said(how, causes).as_deref(), Some(sentence));
        };
        is(ByThem, &[], "They hung up.");
        is(CallerGaveUp, &[], "The caller gave up.");
        is(
            ByThem,
            &[("Q.850", Some(41), None)],
            "They hung up: a temporary failure in the network (Q.850 cause 41).",
        );
        is(
            ByThem,
            &[("q.850", Some(16), Some("Normal call clearing"))],
            "They hung up.",
        );
        is(
            ByThem,
            &[
                ("SIP", Some(503), Some("Media gone")),
                ("Q.850", Some(250), None),
            ],
            "They hung up: “Media gone” (SIP 503); Q.850 cause 250.",
        );
        is(
            ByThem,
            &[("Q.850", Some(17), Some("User busy"))],
            "They hung up: the line is busy (Q.850 cause 17, “User busy”).",
        );
        is(
            ByThem,
            &[("X", None, Some("why not"))],
            "They hung up: “why not”.",
        );
        assert_eq!(said(ByUs, &[]), None);
    }

    /// RFC 3326 §3.1: a CANCEL with SIP 200 means that the call was completed elsewhere.
    #[test]
    fn a_call_that_another_phone_took_is_said_to_be_taken() {
        for cause in [
            ("SIP", Some(200), Some("Call completed elsewhere")),
            ("Q.850", Some(26), None),
        ] {
            let ending = Ending::new(
                EndedHow::CallerGaveUp,
                [Cause::new(cause.0, cause.1, cause.2)],
            );
            assert!(ending.is_elsewhere() && ending.is_notable());
            assert_eq!(
                ending.sentence().as_ref().map(Sentence::reveal),
                Some("Another phone took the call.")
            );
        }
        let hung_up = Ending::new(EndedHow::ByThem, [Cause::new("SIP", Some(200), None)]);
        assert!(!hung_up.is_elsewhere() && !hung_up.is_notable());
    }

    #[test]
    fn what_peers_say_is_bounded() {
        let long = "x".repeat(10_000);
        let causes = (0..100).map(|_| Cause::new(&long, None, Some(&long)));
        let ending = Ending::new(EndedHow::ByThem, causes);
        assert!(
            ending
                .sentence()
                .is_some_and(|text| text.reveal().len() < 1_000)
        );
    }
}
