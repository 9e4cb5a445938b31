//! How an identity is written where it might be kept or shared.

/// An identity with its person hidden: `****5910@telefonica.de`.
///
/// One star for each hidden character; the last four characters of the user part and the whole
/// domain stay, so that a support desk can still tell calls apart. A user part of four characters or
/// fewer is hidden whole. Takes `user@host`, a SIP or tel URI, or a bare number or name.
///
/// ```
/// assert_eq!(model::mask_identity("sip:+34915775910@telefonica.de"), "sip:********5910@telefonica.de");
/// assert_eq!(model::mask_identity("bob"), "***");
/// ```
pub fn mask_identity(identity: &str) -> String {
    let (scheme, rest) = split_scheme(identity);
    let (user, host) = match rest.rfind('@') {
        Some(at) => (&rest[..at], &rest[at..]),
        // A URI without a user part names a machine, which is not a person.
        None if scheme.starts_with("sip") => ("", rest),
        None => (rest, ""),
    };
    // A password in the user part is a secret, not an identity: it goes whole.
    let user = user.split(':').next().unwrap_or("");
    let length = user.chars().count();
    let shown = if length > 4 { 4 } else { 0 };
    let mut masked = String::with_capacity(identity.len());
    masked.push_str(scheme);
    masked.extend(std::iter::repeat_n('*', length - shown));
    masked.extend(user.chars().skip(length - shown));
    masked.push_str(host);
    masked
}

fn split_scheme(identity: &str) -> (&str, &str) {
    for scheme in ["sip:", "sips:", "tel:"] {
        if identity
            .get(..scheme.len())
            .is_some_and(|s| s.eq_ignore_ascii_case(scheme))
        {
            return identity.split_at(scheme.len());
        }
    }
    ("", identity)
}

#[cfg(test)]
mod tests {
    use super::mask_identity;

    #[test]
    fn the_last_four_characters_and_the_domain_stay() {
        assert_eq!(
            mask_identity("12345910@telefonica.de"),
            "****5910@telefonica.de"
        );
        assert_eq!(
            mask_identity("SIPS:alice.jones@example.com;x=1"),
            "SIPS:*******ones@example.com;x=1"
        );
        assert_eq!(mask_identity("tel:+4930123456"), "tel:*******3456");
        assert_eq!(
            mask_identity("Ζωή Παπαδοπούλου"),
            "************ύλου".replace("************", &"*".repeat(12))
        );
    }

    #[test]
    fn short_names_and_passwords_are_hidden_whole() {
        assert_eq!(mask_identity("bob@example.com"), "***@example.com");
        assert_eq!(mask_identity("anna"), "****");
        assert_eq!(
            mask_identity("sip:alice:s3cret@example.com"),
            "sip:*lice@example.com"
        );
        assert_eq!(mask_identity(""), "");
    }

    #[test]
    fn a_machine_is_not_a_person() {
        assert_eq!(
            mask_identity("sip:pbx.example.com:5060"),
            "sip:pbx.example.com:5060"
        );
    }
}
