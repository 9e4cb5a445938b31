//! The one cursor that every grammar rule of this crate reads with (RFC 3261 §25.1).
//!
//! A cursor works over the value of a single header or over a URI. Within such a value CR and LF
//! can only belong to a fold, so every rule that allows LWS allows them too, and no value has to
//! be unfolded before it is read. Nothing here allocates and nothing here can panic.

use std::borrow::Cow;

use crate::error::Fault;

pub(crate) const TOKEN: u16 = 1;
pub(crate) const USER: u16 = 1 << 1;
pub(crate) const PASSWORD: u16 = 1 << 2;
/// `paramchar`, with the characters that deployed phones put there unescaped.
pub(crate) const URI_PARAM: u16 = 1 << 3;
pub(crate) const URI_HEADER: u16 = 1 << 4;
pub(crate) const HOST: u16 = 1 << 5;
/// A parameter's value outside quotes: everything visible that cannot end it.
pub(crate) const VALUE: u16 = 1 << 6;
/// `word`, of which a Call-ID is made.
pub(crate) const WORD: u16 = 1 << 7;
/// `paramchar` of RFC 3261 §25.1, to write by.
pub(crate) const STRICT_URI_PARAM: u16 = 1 << 8;

static CLASS: [u16; 256] = classes();

const fn add(mut table: [u16; 256], chars: &[u8], class: u16) -> [u16; 256] {
    let mut i = 0;
    while i < chars.len() {
        table[chars[i] as usize] |= class;
        i += 1;
    }
    table
}

const fn classes() -> [u16; 256] {
    let mut table = [0; 256];
    let alphanum = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    table = add(
        table,
        alphanum,
        TOKEN | USER | PASSWORD | URI_PARAM | STRICT_URI_PARAM | URI_HEADER | HOST | WORD,
    );
    table = add(table, b"-.!%*_+`'~", TOKEN | WORD);
    table = add(table, b"()<>:\\\"/[]?{}", WORD);
    // `mark` of RFC 3261 §25.1 is part of every URI rule.
    table = add(
        table,
        b"-_.!~*'()",
        USER | PASSWORD | URI_PARAM | STRICT_URI_PARAM | URI_HEADER,
    );
    // `#` is not in `user-unreserved`, but star codes such as *21# arrive unescaped.
    table = add(table, b"&=+$,;?/#", USER);
    table = add(table, b"&=+$,", PASSWORD);
    table = add(table, b"[]/:&+$", URI_PARAM | STRICT_URI_PARAM);
    table = add(table, b"@`^|#{}\\", URI_PARAM);
    table = add(table, b"[]/?:+$", URI_HEADER);
    table = add(table, b"-._", HOST);
    let mut byte = 0x21;
    while byte < 256 {
        if byte != 0x7f && byte != b'"' as usize && byte != b',' as usize && byte != b';' as usize {
            table[byte] |= VALUE;
        }
        byte += 1;
    }
    table
}

pub(crate) fn is(byte: u8, class: u16) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

pub(crate) fn all(bytes: &[u8], class: u16) -> bool {
    bytes.iter().all(|byte| is(*byte, class))
}

pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && all(text.as_bytes(), TOKEN)
}

pub(crate) fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The slice without linear white space at its two ends.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_lws(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_lws(*last)
    {
        bytes = rest;
    }
    bytes
}

/// What the grammar has shown to be ASCII, as text; empty in the case that cannot happen.
pub(crate) fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Text of a peer: UTF-8 as RFC 3261 §7.3 wants it, else read as ISO 8859-1, which is what the
/// older senders meant.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Text with each fold (and each stray CR or LF) made one space.
pub(crate) fn unfold(bytes: &[u8]) -> Cow<'_, str> {
    if !bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return text(bytes);
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        rest = after;
        if !is_lws(*first) {
            plain.push(*first);
            continue;
        }
        let mut folded = matches!(first, b'\r' | b'\n');
        let run = after.iter().take_while(|byte| is_lws(**byte)).count();
        let (blanks, after) = after.split_at_checked(run).unwrap_or((after, &[]));
        folded |= blanks.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
        if folded {
            plain.push(b' ');
        } else {
            plain.push(*first);
            plain.extend_from_slice(blanks);
        }
        rest = after;
    }
    Cow::Owned(text(&plain).into_owned())
}

/// The inside of a quoted string with its escapes and folds resolved.
pub(crate) fn unquote(inner: &[u8]) -> Cow<'_, str> {
    if !inner
        .iter()
        .any(|byte| matches!(byte, b'\\' | b'\r' | b'\n'))
    {
        return text(inner);
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for byte in inner {
        match byte {
            b'\\' if !escaped => escaped = true,
            b'\r' | b'\n' => escaped = false,
            _ => {
                plain.push(*byte);
                escaped = false;
            }
        }
    }
    Cow::Owned(text(&plain).into_owned())
}

/// A reading position in one header value or URI.
///
/// Made by the readers of this crate and handed to [`crate::Value::read`]; it has no meaning
/// outside.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Octets read so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    pub(crate) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn bump(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    #[inline]
    pub(crate) fn lws(&mut self) {
        while self.peek().is_some_and(is_lws) {
            self.at += 1;
        }
    }

    /// A separator with the white space that §25.1 allows on both its sides (`SEMI`, `EQUAL`, …).
    /// Without the separator nothing is consumed.
    pub(crate) fn separator(&mut self, byte: u8) -> bool {
        let start = self.at;
        self.lws();
        if self.eat(byte) {
            self.lws();
            return true;
        }
        self.at = start;
        false
    }

    pub(crate) fn expect(&mut self, byte: u8, fault: Fault) -> Result<(), Fault> {
        if self.separator(byte) {
            Ok(())
        } else {
            Err(fault)
        }
    }

    /// The longest run of one character class, perhaps empty.
    #[inline]
    pub(crate) fn take(&mut self, class: u16) -> &'a [u8] {
        self.take_while(|byte| is(byte, class))
    }

    #[inline]
    pub(crate) fn take_while(&mut self, accepts: impl Fn(u8) -> bool) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(&accepts) {
            self.at += 1;
        }
        self.since(start)
    }

    pub(crate) fn token(&mut self) -> Result<&'a str, Fault> {
        let token = self.take(TOKEN);
        if token.is_empty() {
            Err(Fault::Token)
        } else {
            Ok(ascii(token))
        }
    }

    /// A run of digits as a number; too large is apart from not a number.
    pub(crate) fn number(&mut self) -> Result<u64, Fault> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return Err(Fault::Number);
        }
        digits
            .iter()
            .try_fold(0u64, |sum, digit| {
                sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
            })
            .ok_or(Fault::Range)
    }

    pub(crate) fn number_up_to(&mut self, highest: u64) -> Result<u64, Fault> {
        let number = self.number()?;
        if number > highest {
            Err(Fault::Range)
        } else {
            Ok(number)
        }
    }

    /// The inside of a quoted string that begins here, escapes untouched.
    pub(crate) fn quoted(&mut self) -> Result<&'a [u8], Fault> {
        if !self.eat(b'"') {
            return Err(Fault::Quote);
        }
        let start = self.at;
        loop {
            match self.bump() {
                Some(b'"') => {
                    let inner = self.since(start);
                    return Ok(inner
                        .get(..inner.len().saturating_sub(1))
                        .unwrap_or_default());
                }
                Some(b'\\') => {
                    // All but CR and LF can be escaped, even NUL (`quoted-pair`).
                    match self.bump() {
                        None | Some(b'\r' | b'\n') => return Err(Fault::Quote),
                        Some(_) => {}
                    }
                }
                Some(0) | None => return Err(Fault::Quote),
                Some(_) => {}
            }
        }
    }

    /// Whether only white space is left.
    pub(crate) fn is_done(&self) -> bool {
        self.rest().iter().all(|byte| is_lws(*byte))
    }

    pub(crate) fn done(&mut self) -> Result<(), Fault> {
        self.lws();
        if self.peek().is_none() {
            Ok(())
        } else {
            Err(Fault::Trailing)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fold_becomes_one_space_and_other_blanks_stay() {
        assert_eq!(unfold(b"a  b\r\n\t c"), "a  b c");
        assert_eq!(unfold(b"a \r\n b"), "a b");
    }

    #[test]
    fn quoted_strings_end_at_an_unescaped_quote_only() {
        let mut scan = Scan::new(br#""a \" b\\" tail"#);
        let inner = scan.quoted().expect("is closed");
        assert_eq!(unquote(inner), r#"a " b\"#);
        assert_eq!(Scan::new(br#""a \""#).quoted(), Err(Fault::Quote));
    }

    #[test]
    fn text_that_is_not_utf8_is_read_as_latin_1() {
        assert_eq!(text(b"J\xfcrgen"), "Jürgen");
        assert_eq!(text("Jürgen".as_bytes()), "Jürgen");
    }
}
