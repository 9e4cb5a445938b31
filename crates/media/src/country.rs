//! The tones of telephone networks by country: what people there know as ringing, engaged and out of order (ITU-T E.180
//! Supplement 2, "Various tones used in national networks").

/// One tone: frequencies that sound together, and on and off times in seconds that are repeated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signal {
    pub(crate) hz: [f32; 2],
    pub(crate) cadence: &'static [(f32, f32)],
}

/// The tones of one country.
#[derive(Debug, PartialEq)]
pub struct Country {
    /// Its two letters (ISO 3166-1); empty for those of ETSI TR 101 041-2, which most of Europe can live with.
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
    pub(crate) ringback: Signal,
    pub(crate) busy: Signal,
    pub(crate) congestion: Signal,
    pub(crate) waiting: Signal,
}

impl Country {
    /// The country of these letters, in any case.
    #[must_use]
    pub fn of(code: &str) -> Option<&'static Self> {
        ALL.iter()
            .find(|country| country.code.eq_ignore_ascii_case(code))
    }

    /// The country that a locale of the system names, like `de_AT.UTF-8`; the European tones for one that is not here.
    #[must_use]
    pub fn of_locale(locale: &str) -> &'static Self {
        let place = locale.split(['.', '@']).next().unwrap_or_default();
        let code = place.split(['_', '-']).nth(1).unwrap_or_default();
        Self::of(code).unwrap_or(&EUROPE)
    }
}

/// All of them, in the order of their names; the European ones first.
pub static ALL: &[Country] = &[
    EUROPEAN,
    country(
        "AU",
        "Australia",
        signal(413.0, 438.0, &[(0.4, 0.2), (0.4, 2.0)]),
        signal(425.0, 0.0, &[(0.375, 0.375)]),
        signal(425.0, 0.0, &[(0.375, 0.375)]),
        signal(425.0, 0.0, &[(0.2, 0.2), (0.2, 4.4)]),
    ),
    country(
        "AT",
        "Austria",
        signal(420.0, 0.0, &[(1.0, 5.0)]),
        signal(420.0, 0.0, &[(0.4, 0.4)]),
        signal(420.0, 0.0, &[(0.2, 0.2)]),
        signal(420.0, 0.0, &[(0.04, 1.96)]),
    ),
    country(
        "BR",
        "Brazil",
        signal(425.0, 0.0, &[(1.0, 4.0)]),
        signal(425.0, 0.0, &[(0.25, 0.25)]),
        signal(425.0, 0.0, &[(0.25, 0.25), (0.75, 0.25)]),
        signal(425.0, 0.0, &[(0.05, 1.0)]),
    ),
    country(
        "CA",
        "Canada",
        AMERICA_RINGS,
        AMERICA_BUSY,
        AMERICA_CONGESTED,
        AMERICA_WAITS,
    ),
    country(
        "CN",
        "China",
        signal(450.0, 0.0, &[(1.0, 4.0)]),
        signal(450.0, 0.0, &[(0.35, 0.35)]),
        signal(450.0, 0.0, &[(0.7, 0.7)]),
        signal(450.0, 0.0, &[(0.4, 4.0)]),
    ),
    country(
        "DK",
        "Denmark",
        signal(425.0, 0.0, &[(1.0, 4.0)]),
        signal(425.0, 0.0, &[(0.5, 0.5)]),
        signal(425.0, 0.0, &[(0.25, 0.25)]),
        signal(425.0, 0.0, &[(0.2, 0.6), (0.2, 3.0)]),
    ),
    country(
        "FR",
        "France",
        signal(440.0, 0.0, &[(1.5, 3.5)]),
        signal(440.0, 0.0, &[(0.5, 0.5)]),
        signal(440.0, 0.0, &[(0.25, 0.25)]),
        signal(440.0, 0.0, &[(0.3, 10.0)]),
    ),
    country(
        "DE",
        "Germany",
        signal(425.0, 0.0, &[(1.0, 4.0)]),
        signal(425.0, 0.0, &[(0.48, 0.48)]),
        signal(425.0, 0.0, &[(0.24, 0.24)]),
        signal(425.0, 0.0, &[(0.2, 0.2), (0.2, 5.0)]),
    ),
    // The Indian tone is 400 Hz modulated by 25 Hz, which is these two together.
    country(
        "IN",
        "India",
        signal(375.0, 425.0, &[(0.4, 0.2), (0.4, 2.0)]),
        signal(400.0, 0.0, &[(0.75, 0.75)]),
        signal(400.0, 0.0, &[(0.25, 0.25)]),
        signal(400.0, 0.0, &[(0.2, 0.1), (0.2, 7.5)]),
    ),
    country(
        "IT",
        "Italy",
        signal(425.0, 0.0, &[(1.0, 4.0)]),
        signal(425.0, 0.0, &[(0.5, 0.5)]),
        signal(425.0, 0.0, &[(0.2, 0.2)]),
        signal(425.0, 0.0, &[(0.4, 0.1), (0.25, 0.1), (0.15, 14.0)]),
    ),
    // 400 Hz modulated by 16 Hz.
    country(
        "JP",
        "Japan",
        signal(384.0, 416.0, &[(1.0, 2.0)]),
        signal(400.0, 0.0, &[(0.5, 0.5)]),
        signal(400.0, 0.0, &[(0.5, 0.5)]),
        signal(384.0, 416.0, &[(0.5, 8.0)]),
    ),
    country(
        "MX",
        "Mexico",
        signal(425.0, 0.0, &[(1.0, 4.0)]),
        signal(425.0, 0.0, &[(0.25, 0.25)]),
        signal(425.0, 0.0, &[(0.25, 0.25)]),
        signal(425.0, 0.0, &[(0.2, 0.6), (0.2, 10.0)]),
    ),
    country(
        "NL",
        "Netherlands",
        signal(425.0, 0.0, &[(1.0, 4.0)]),
        signal(425.0, 0.0, &[(0.5, 0.5)]),
        signal(425.0, 0.0, &[(0.25, 0.25)]),
        signal(425.0, 0.0, &[(0.5, 9.5)]),
    ),
    country(
        "PL",
        "Poland",
        signal(425.0, 0.0, &[(1.0, 4.0)]),
        signal(425.0, 0.0, &[(0.5, 0.5)]),
        signal(425.0, 0.0, &[(0.5, 0.5)]),
        signal(425.0, 0.0, &[(0.15, 0.15), (0.15, 4.0)]),
    ),
    country(
        "PT",
        "Portugal",
        signal(425.0, 0.0, &[(1.0, 5.0)]),
        signal(425.0, 0.0, &[(0.5, 0.5)]),
        signal(425.0, 0.0, &[(0.2, 0.2)]),
        signal(425.0, 0.0, &[(0.2, 0.2), (0.2, 5.0)]),
    ),
    country(
        "ES",
        "Spain",
        signal(425.0, 0.0, &[(1.5, 3.0)]),
        signal(425.0, 0.0, &[(0.2, 0.2)]),
        signal(425.0, 0.0, &[(0.2, 0.2), (0.2, 0.2), (0.2, 0.6)]),
        signal(425.0, 0.0, &[(0.175, 0.175), (0.175, 3.5)]),
    ),
    country(
        "SE",
        "Sweden",
        signal(425.0, 0.0, &[(1.0, 5.0)]),
        signal(425.0, 0.0, &[(0.25, 0.25)]),
        signal(425.0, 0.0, &[(0.25, 0.75)]),
        signal(425.0, 0.0, &[(0.2, 0.5), (0.2, 4.0)]),
    ),
    country(
        "CH",
        "Switzerland",
        signal(425.0, 0.0, &[(1.0, 4.0)]),
        signal(425.0, 0.0, &[(0.5, 0.5)]),
        signal(425.0, 0.0, &[(0.2, 0.2)]),
        signal(425.0, 0.0, &[(0.2, 0.2), (0.2, 4.0)]),
    ),
    country(
        "GB",
        "United Kingdom",
        signal(400.0, 450.0, &[(0.4, 0.2), (0.4, 2.0)]),
        signal(400.0, 0.0, &[(0.375, 0.375)]),
        signal(400.0, 0.0, &[(0.4, 0.35), (0.225, 0.525)]),
        signal(400.0, 0.0, &[(0.1, 3.0)]),
    ),
    country(
        "US",
        "United States",
        AMERICA_RINGS,
        AMERICA_BUSY,
        AMERICA_CONGESTED,
        AMERICA_WAITS,
    ),
];

pub(crate) static EUROPE: Country = EUROPEAN;

const EUROPEAN: Country = country(
    "",
    "Europe",
    signal(425.0, 0.0, &[(1.0, 4.0)]),
    signal(425.0, 0.0, &[(0.5, 0.5)]),
    signal(425.0, 0.0, &[(0.25, 0.25)]),
    signal(425.0, 0.0, &[(0.2, 0.2), (0.2, 3.4)]),
);

const AMERICA_RINGS: Signal = signal(440.0, 480.0, &[(2.0, 4.0)]);
const AMERICA_BUSY: Signal = signal(480.0, 620.0, &[(0.5, 0.5)]);
const AMERICA_CONGESTED: Signal = signal(480.0, 620.0, &[(0.25, 0.25)]);
const AMERICA_WAITS: Signal = signal(440.0, 0.0, &[(0.3, 10.0)]);

const fn signal(low_hz: f32, high_hz: f32, cadence: &'static [(f32, f32)]) -> Signal {
    Signal {
        hz: [low_hz, high_hz],
        cadence,
    }
}

const fn country(
    code: &'static str,
    name: &'static str,
    ringback: Signal,
    busy: Signal,
    congestion: Signal,
    waiting: Signal,
) -> Country {
    Country {
        code,
        name,
        ringback,
        busy,
        congestion,
        waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_names_its_country_and_an_unknown_one_is_european() {
        for (locale, code) in [
            ("de_AT.UTF-8", "AT"),
            ("en-GB", "GB"),
            ("es_MX@euro", "MX"),
            ("pt_pt", "PT"),
            ("C.UTF-8", ""),
            ("en_NZ.UTF-8", ""),
            ("", ""),
        ] {
            assert_eq!(Country::of_locale(locale).code, code, "{locale}");
        }
    }

    #[test]
    fn each_country_is_there_once_and_its_tones_can_be_told_apart_by_ear() {
        for (n, country) in ALL.iter().enumerate() {
            assert_eq!(Country::of(country.code), Some(country));
            assert!(n < 2 || ALL[n - 1].name < country.name, "{}", country.name);
            for signal in [
                country.ringback,
                country.busy,
                country.congestion,
                country.waiting,
            ] {
                assert!((300.0..700.0).contains(&signal.hz[0]));
                assert!(
                    signal
                        .cadence
                        .iter()
                        .all(|(on, off)| *on > 0.0 && *off > 0.0)
                );
            }
            // Long pauses mean that it rings, short ones that nobody comes.
            let pause = |signal: Signal| {
                signal
                    .cadence
                    .iter()
                    .map(|(_, off)| *off)
                    .fold(0.0, f32::max)
            };
            assert!(
                pause(country.ringback) >= 2.0 && pause(country.busy) < 1.0,
                "{}",
                country.name
            );
        }
    }
}
