//! Which extended reports two ends want of each other: `a=rtcp-xr` (RFC 3611 §5).

/// Extended reports that a description asks for, of those that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExtendedReports {
    /// How the voice is heard: `voip-metrics`.
    pub voip_metrics: bool,
    /// The round trip also for those who only listen: `rcvr-rtt`.
    pub round_trip: bool,
}

impl ExtendedReports {
    /// All that we know.
    pub(crate) const ALL: Self = Self {
        voip_metrics: true,
        round_trip: true,
    };

    /// Reads the value of the attribute; what is not known is passed over.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        let mut read = Self::default();
        for format in value.split_ascii_whitespace() {
            let (name, parameter) = format.split_once('=').unwrap_or((format, ""));
            match name.to_ascii_lowercase().as_str() {
                "voip-metrics" => read.voip_metrics = true,
                // Behind a colon is what a report may be large at most; ours are as small as can be.
                "rcvr-rtt" => {
                    let mode = parameter.split(':').next().unwrap_or_default();
                    read.round_trip |= ["all", "sender"]
                        .iter()
                        .any(|known| known.eq_ignore_ascii_case(mode));
                }
                _ => {}
            }
        }
        read
    }

    /// What both ask for.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            voip_metrics: self.voip_metrics && other.voip_metrics,
            round_trip: self.round_trip && other.round_trip,
        }
    }

    /// The value of the attribute, unless nothing is asked for.
    pub(crate) fn to_value(self) -> Option<String> {
        let formats = [
            self.round_trip.then_some("rcvr-rtt=all"),
            self.voip_metrics.then_some("voip-metrics"),
        ];
        let formats: Vec<&str> = formats.into_iter().flatten().collect();
        (!formats.is_empty()).then(|| formats.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_standard_shows_is_read() {
        // RFC 3611 §5.3.
        for (value, voip_metrics, round_trip) in [
            (
                "rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics",
                true,
                true,
            ),
            ("rcvr-rtt=sender", false, true),
            ("pkt-loss-rle=50 VoIP-Metrics", true, false),
            ("rcvr-rtt=none voip-metric", false, false),
            ("", false, false),
        ] {
            let expected = ExtendedReports {
                voip_metrics,
                round_trip,
            };
            assert_eq!(ExtendedReports::parse(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let all = ExtendedReports::ALL;
        assert_eq!(all.to_value().as_deref(), Some("rcvr-rtt=all voip-metrics"));
        for reports in [
            all,
            ExtendedReports {
                round_trip: false,
                ..all
            },
        ] {
            let value = reports.to_value().unwrap();
            assert_eq!(ExtendedReports::parse(&value), reports);
        }
        assert_eq!(ExtendedReports::default().to_value(), None);
    }
}
