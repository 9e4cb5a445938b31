//! Names of header fields and their compact forms (RFC 3261 §7.3.3, §20, and extensions).

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::scan::is_token;

/// One list makes the variants, their spelling and their compact forms, so that they cannot drift.
macro_rules! header_names {
    ($($variant:ident $name:literal $($compact:literal)?),* $(,)?) => {
        /// The name of a header field. Names are compared without regard to case, and a compact
        /// form is the same name.
        #[derive(Clone, Debug)]
        pub enum HeaderName {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
            /// Any other name, spelt as sent.
            Other(Box<str>),
        }

        /// Every known name; its position is its code in the index of a message.
        pub(crate) static KNOWN: [HeaderName; KNOWN_COUNT] = [$(HeaderName::$variant),*];

        impl HeaderName {
            /// The name in its long form.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }

            /// The one-letter form, where there is one.
            pub fn compact(&self) -> Option<&'static str> {
                match self {
                    $($(Self::$variant => Some($compact),)?)*
                    _ => None,
                }
            }

            pub(crate) fn code(&self) -> u8 {
                match self {
                    $(Self::$variant => Code::$variant as u8,)*
                    Self::Other(_) => UNKNOWN,
                }
            }
        }

        #[repr(u8)]
        enum Code { $($variant),* }

        const NAMES: [&str; KNOWN_COUNT] = [$($name),*];
        const KNOWN_COUNT: usize = [$($name),*].len();

        /// Codes of the compact forms `a` to `z`.
        static COMPACT: [u8; 26] = compact_codes();

        const fn compact_codes() -> [u8; 26] {
            let mut codes = [UNKNOWN; 26];
            $($(codes[($compact.as_bytes()[0] - b'a') as usize] = Code::$variant as u8;)?)*
            codes
        }
    };
}

header_names! {
    Accept "Accept",
    AcceptContact "Accept-Contact" "a",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    AlertInfo "Alert-Info",
    Allow "Allow",
    AllowEvents "Allow-Events" "u",
    AnswerMode "Answer-Mode",
    AuthenticationInfo "Authentication-Info",
    Authorization "Authorization",
    CallId "Call-ID" "i",
    CallInfo "Call-Info",
    Contact "Contact" "m",
    ContentDisposition "Content-Disposition",
    ContentEncoding "Content-Encoding" "e",
    ContentLanguage "Content-Language",
    ContentLength "Content-Length" "l",
    ContentType "Content-Type" "c",
    CSeq "CSeq",
    Date "Date",
    Diversion "Diversion",
    ErrorInfo "Error-Info",
    Event "Event" "o",
    Expires "Expires",
    FlowTimer "Flow-Timer",
    From "From" "f",
    Geolocation "Geolocation",
    HistoryInfo "History-Info",
    Identity "Identity" "y",
    InfoPackage "Info-Package",
    InReplyTo "In-Reply-To",
    Join "Join",
    MaxForwards "Max-Forwards",
    MimeVersion "MIME-Version",
    MinExpires "Min-Expires",
    MinSe "Min-SE",
    Organization "Organization",
    PAccessNetworkInfo "P-Access-Network-Info",
    PAssertedIdentity "P-Asserted-Identity",
    PAssociatedUri "P-Associated-URI",
    Path "Path",
    PCalledPartyId "P-Called-Party-ID",
    PPreferredIdentity "P-Preferred-Identity",
    Priority "Priority",
    Privacy "Privacy",
    PrivAnswerMode "Priv-Answer-Mode",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthenticationInfo "Proxy-Authentication-Info",
    ProxyAuthorization "Proxy-Authorization",
    ProxyRequire "Proxy-Require",
    RAck "RAck",
    Reason "Reason",
    RecordRoute "Record-Route",
    RecvInfo "Recv-Info",
    ReferSub "Refer-Sub",
    ReferTo "Refer-To" "r",
    ReferredBy "Referred-By" "b",
    RejectContact "Reject-Contact" "j",
    RemotePartyId "Remote-Party-ID",
    Replaces "Replaces",
    ReplyTo "Reply-To",
    RequestDisposition "Request-Disposition" "d",
    Require "Require",
    ResourcePriority "Resource-Priority",
    RetryAfter "Retry-After",
    Route "Route",
    RSeq "RSeq",
    SecurityClient "Security-Client",
    SecurityServer "Security-Server",
    SecurityVerify "Security-Verify",
    Server "Server",
    ServiceRoute "Service-Route",
    SessionExpires "Session-Expires" "x",
    SessionId "Session-ID",
    SipEtag "SIP-ETag",
    SipIfMatch "SIP-If-Match",
    Subject "Subject" "s",
    SubscriptionState "Subscription-State",
    Supported "Supported" "k",
    TargetDialog "Target-Dialog",
    Timestamp "Timestamp",
    To "To" "t",
    Unsupported "Unsupported",
    UserAgent "User-Agent",
    UserToUser "User-to-User",
    Via "Via" "v",
    Warning "Warning",
    WwwAuthenticate "WWW-Authenticate",
}

/// The code of a name that is not in the list.
pub(crate) const UNKNOWN: u8 = u8::MAX;
/// The code of a line that is no header field at all.
pub(crate) const NOT_A_FIELD: u8 = u8::MAX - 1;

/// Codes by [`slot`]; a name whose slot is taken stands in the next free one.
static TABLE: [u8; 256] = table();

const fn table() -> [u8; 256] {
    let mut table = [UNKNOWN; 256];
    let mut code = 0;
    while code < KNOWN_COUNT {
        let name = NAMES[code].as_bytes();
        let mut at = slot(
            name.len(),
            name[0],
            name[name.len() / 2],
            name[name.len() - 1],
        );
        while table[at as usize] != UNKNOWN {
            at = at.wrapping_add(1);
        }
        table[at as usize] = code as u8;
        code += 1;
    }
    table
}

/// Where the search for a name begins. Setting the bit of case makes the letters alike.
const fn slot(length: usize, first: u8, middle: u8, last: u8) -> u8 {
    let length = (length as u8).wrapping_mul(5);
    let ends = (first | 0x20)
        .wrapping_mul(31)
        .wrapping_add((last | 0x20).wrapping_mul(7));
    length.wrapping_add(ends).wrapping_add(middle | 0x20)
}

/// The code of a name, long or compact, in any case.
pub(crate) fn code_of(name: &[u8]) -> u8 {
    if let [letter] = name {
        let position = usize::from(letter.to_ascii_lowercase().wrapping_sub(b'a'));
        return COMPACT.get(position).copied().unwrap_or(UNKNOWN);
    }
    let (Some(first), Some(middle), Some(last)) =
        (name.first(), name.get(name.len() / 2), name.last())
    else {
        return UNKNOWN;
    };
    let mut at = slot(name.len(), *first, *middle, *last);
    // The table is larger than the list, so a free slot ends every search.
    loop {
        let code = TABLE[usize::from(at)];
        let known = NAMES
            .get(usize::from(code))
            .map_or("", |known| known)
            .as_bytes();
        if code == UNKNOWN || known == name || known.eq_ignore_ascii_case(name) {
            return code;
        }
        at = at.wrapping_add(1);
    }
}

impl HeaderName {
    /// Reads a name, long or compact, in any case; `None` where the text is not a token.
    pub fn parse(text: &str) -> Option<Self> {
        is_token(text).then(|| Self::from_bytes(text.as_bytes()))
    }

    pub(crate) fn from_bytes(name: &[u8]) -> Self {
        Self::known(code_of(name))
            .cloned()
            .unwrap_or_else(|| Self::Other(crate::scan::ascii(name).into()))
    }

    pub(crate) fn known(code: u8) -> Option<&'static Self> {
        KNOWN.get(usize::from(code))
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(one), Self::Other(two)) => one.eq_ignore_ascii_case(two),
            // An `Other` made by hand may spell a known name.
            (Self::Other(one), known) | (known, Self::Other(one)) => {
                one.eq_ignore_ascii_case(known.as_str())
            }
            _ => self.code() == other.code(),
        }
    }
}

impl Eq for HeaderName {}

impl Hash for HeaderName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.as_str().bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// For names that the program itself spells; what is not a token is kept and refused on writing.
impl From<&str> for HeaderName {
    fn from(text: &str) -> Self {
        Self::known(code_of(text.as_bytes()))
            .cloned()
            .unwrap_or_else(|| Self::Other(text.into()))
    }
}

impl From<&HeaderName> for HeaderName {
    fn from(name: &HeaderName) -> Self {
        name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case_and_in_its_compact_form() {
        for name in &KNOWN {
            assert_eq!(
                HeaderName::parse(&name.as_str().to_uppercase()).as_ref(),
                Some(name)
            );
            assert!(matches!(HeaderName::known(name.code()), Some(known) if known == name));
            if let Some(compact) = name.compact() {
                assert_eq!(HeaderName::parse(compact).as_ref(), Some(name));
            }
        }
    }

    #[test]
    fn unknown_names_keep_their_spelling_and_compare_without_case() {
        let name = HeaderName::parse("X-Lab").expect("is a token");
        assert_eq!(name.as_str(), "X-Lab");
        assert_eq!(name, HeaderName::from("x-lab"));
        assert_ne!(name, HeaderName::Via);
        assert_eq!(HeaderName::parse("no name"), None);
    }
}
