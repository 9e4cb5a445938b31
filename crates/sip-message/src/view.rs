//! A message over the octets it arrived in: found, not copied.

use crate::error::{Fault, HeaderError, ParseError, ParseErrorKind, Salvage, UriError};
use crate::header_name::{HeaderName, NOT_A_FIELD, code_of};
use crate::headers::Headers;
use crate::limits::Limits;
use crate::method::{Method, MethodView};
use crate::name_addr::NameAddrView;
use crate::repair::{Repair, Repairs};
use crate::scan::{Scan, TOKEN, ascii, is_lws, trim};
use crate::status::StatusCode;
use crate::uri::UriView;
use crate::value::{Elements, Value, read_whole};
use crate::values::{CSeqView, CallIdView};
use crate::via::ViaView;

/// A message whose parts are known by position in the received octets.
///
/// Finding the parts allocates nothing. Values are read when they are asked for, each time anew.
#[derive(Clone)]
pub struct MessageView<'a> {
    bytes: &'a [u8],
    start: StartLineView<'a>,
    start_line: &'a [u8],
    index: Index,
    body: &'a [u8],
    repairs: Repairs,
}

/// The first line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum StartLineView<'a> {
    /// A request line.
    Request {
        /// The method.
        method: MethodView<'a>,
        /// The Request-URI, not yet read; see [`MessageView::request_uri`].
        uri: &'a [u8],
    },
    /// A status line.
    Response {
        /// The status code.
        status: StatusCode,
        /// The reason phrase, perhaps empty.
        reason: &'a [u8],
    },
}

/// One header line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HeaderView<'a> {
    code: u8,
    /// The name, as sent; empty where the line is no header field.
    pub name: &'a str,
    /// The value without the white space around it, folds included.
    pub value: &'a [u8],
    /// The whole line with its folds, without its end.
    pub line: &'a [u8],
}

impl HeaderView<'_> {
    /// Whether the line is a header field at all.
    pub fn is_field(&self) -> bool {
        self.code != NOT_A_FIELD
    }

    /// The name as a type; `None` where the line is no header field.
    pub fn header_name(&self) -> Option<HeaderName> {
        self.is_field()
            .then(|| HeaderName::from_bytes(self.name.as_bytes()))
    }
}

/// Where one line is. Small, since a message has room for many: offsets count from the line.
#[derive(Clone, Copy, Default)]
struct Span {
    line: u32,
    length: u16,
    value: u16,
    value_end: u16,
    code: u8,
}

#[derive(Clone)]
struct Index {
    spans: [Span; Limits::MOST_HEADERS],
    length: usize,
}

impl Index {
    fn new() -> Self {
        Self {
            spans: [Span::default(); Limits::MOST_HEADERS],
            length: 0,
        }
    }

    fn used(&self) -> &[Span] {
        self.spans.get(..self.length).unwrap_or_default()
    }

    fn push(&mut self, span: Span, limit: usize) -> Result<(), ParseErrorKind> {
        let slot = self
            .spans
            .get_mut(self.length)
            .filter(|_| self.length < limit);
        *slot.ok_or(ParseErrorKind::TooManyHeaders)? = span;
        self.length += 1;
        Ok(())
    }
}

impl<'a> MessageView<'a> {
    /// Reads a message that fills a datagram (RFC 3261 §18.3): the body ends where Content-Length
    /// says, or with the datagram where there is none.
    ///
    /// # Errors
    /// Framing and start line only, with what could be salvaged for an answer. The Request-URI and
    /// the headers' values are not looked at.
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, ParseError> {
        Parser::new(bytes, limits).message(false)
    }

    /// Reads a message that a stream's framer has cut out: Content-Length has to be there.
    ///
    /// # Errors
    /// As [`MessageView::parse`].
    pub fn parse_framed(bytes: &'a [u8], limits: &Limits) -> Result<Self, ParseError> {
        Parser::new(bytes, limits).message(true)
    }

    /// The octets of the message, from the start line to the end of the body.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The first line, taken apart.
    pub fn start(&self) -> StartLineView<'a> {
        self.start
    }

    /// The first line without its end.
    pub fn start_line(&self) -> &'a [u8] {
        self.start_line
    }

    /// The method of a request.
    pub fn method(&self) -> Option<MethodView<'a>> {
        match self.start {
            StartLineView::Request { method, .. } => Some(method),
            StartLineView::Response { .. } => None,
        }
    }

    /// The status of a response.
    pub fn status(&self) -> Option<StatusCode> {
        match self.start {
            StartLineView::Request { .. } => None,
            StartLineView::Response { status, .. } => Some(status),
        }
    }

    /// The Request-URI; `None` for a response.
    pub fn request_uri(&self) -> Option<Result<UriView<'a>, UriError>> {
        match self.start {
            StartLineView::Request { uri, .. } => Some(UriView::parse(uri)),
            StartLineView::Response { .. } => None,
        }
    }

    /// The body.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// What the frame was forgiven.
    pub fn repairs(&self) -> Repairs {
        self.repairs
    }

    /// The header lines in their order.
    pub fn headers(&self) -> impl Iterator<Item = HeaderView<'a>> {
        self.index
            .used()
            .iter()
            .map(|span| header_at(self.bytes, span))
    }

    /// The values of every line with that name, unsplit.
    pub fn values(&self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let (code, other) = match name {
            HeaderName::Other(other) => (code_of(other.as_bytes()), &**other),
            known => (known.code(), ""),
        };
        let known = HeaderName::known(code).is_some();
        let bytes = self.bytes;
        let named = move |span: &&Span| {
            span.code == code && (known || header_at(bytes, span).name.eq_ignore_ascii_case(other))
        };
        let spans = self.index.used().iter().filter(named);
        spans.map(move |span| value_at(bytes, span))
    }

    /// The first value with that name, unsplit.
    pub fn value(&self, name: &HeaderName) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// A header that holds one value, read as `T`.
    ///
    /// # Errors
    /// Missing apart from malformed.
    pub fn one<T: Value<'a>>(&self, name: &HeaderName) -> Result<T, HeaderError> {
        let value = self
            .value(name)
            .ok_or_else(|| HeaderError::Missing(name.clone()))?;
        read_whole(value).map_err(|fault| malformed(name, fault))
    }

    /// The elements of a header that is a list, over all its lines.
    pub fn list<T: Value<'a>>(&self, name: &HeaderName) -> impl Iterator<Item = Result<T, Fault>> {
        self.values(name).flat_map(Elements::new)
    }

    /// The first element of a header that is a list.
    ///
    /// # Errors
    /// Missing apart from malformed.
    pub fn first<T: Value<'a>>(&self, name: &HeaderName) -> Result<T, HeaderError> {
        self.list(name)
            .next()
            .ok_or_else(|| HeaderError::Missing(name.clone()))?
            .map_err(|fault| malformed(name, fault))
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// Missing apart from malformed.
    pub fn via_top(&self) -> Result<ViaView<'a>, HeaderError> {
        self.first(&HeaderName::Via)
    }

    /// From.
    ///
    /// # Errors
    /// Missing apart from malformed.
    pub fn from(&self) -> Result<NameAddrView<'a>, HeaderError> {
        self.one(&HeaderName::From)
    }

    /// To.
    ///
    /// # Errors
    /// Missing apart from malformed.
    pub fn to(&self) -> Result<NameAddrView<'a>, HeaderError> {
        self.one(&HeaderName::To)
    }

    /// Call-ID.
    ///
    /// # Errors
    /// Missing apart from malformed.
    pub fn call_id(&self) -> Result<&'a str, HeaderError> {
        self.one::<CallIdView<'a>>(&HeaderName::CallId)
            .map(|id| id.0)
    }

    /// CSeq.
    ///
    /// # Errors
    /// Missing apart from malformed.
    pub fn cseq(&self) -> Result<CSeqView<'a>, HeaderError> {
        self.one(&HeaderName::CSeq)
    }

    /// The first Contact that is an address.
    ///
    /// # Errors
    /// Missing apart from malformed; `*` is malformed here.
    pub fn contact(&self) -> Result<NameAddrView<'a>, HeaderError> {
        self.first(&HeaderName::Contact)
    }
}

pub(crate) fn malformed(name: &HeaderName, fault: Fault) -> HeaderError {
    HeaderError::Malformed {
        name: name.clone(),
        fault,
    }
}

fn header_at<'a>(bytes: &'a [u8], span: &Span) -> HeaderView<'a> {
    let begin = span.line as usize;
    let line = bytes
        .get(begin..begin + usize::from(span.length))
        .unwrap_or_default();
    let name = match span.code {
        NOT_A_FIELD => "",
        _ => ascii(Scan::new(line).take(TOKEN)),
    };
    HeaderView {
        code: span.code,
        name,
        value: value_at(bytes, span),
        line,
    }
}

fn value_at<'a>(bytes: &'a [u8], span: &Span) -> &'a [u8] {
    let begin = span.line as usize;
    let value = begin + usize::from(span.value)..begin + usize::from(span.value_end);
    bytes.get(value).unwrap_or_default()
}

/// One pass over the octets.
struct Parser<'a, 'l> {
    bytes: &'a [u8],
    limits: &'l Limits,
    repairs: Repairs,
    at: usize,
}

/// A line: where its text ends and where the next line begins.
struct Line {
    end: usize,
    next: usize,
}

impl<'a, 'l> Parser<'a, 'l> {
    fn new(bytes: &'a [u8], limits: &'l Limits) -> Self {
        Self {
            bytes,
            limits,
            repairs: Repairs::default(),
            at: 0,
        }
    }

    fn message(mut self, framed: bool) -> Result<MessageView<'a>, ParseError> {
        self.skip_blank_lines().map_err(ParseError::new)?;
        // Filled where it stands: the index is the larger part of it and would be copied.
        let mut view = MessageView {
            bytes: self.bytes,
            start: StartLineView::Response {
                status: StatusCode::OK,
                reason: &[],
            },
            start_line: &[],
            index: Index::new(),
            body: &[],
            repairs: self.repairs,
        };
        match self.read(framed, &mut view.start_line, &mut view.index) {
            Ok((start, body)) => {
                view.bytes = self.bytes;
                view.start = start;
                view.body = body;
                view.repairs = self.repairs;
                Ok(view)
            }
            Err(kind) => Err(self.salvage(kind, view.start_line, &view.index)),
        }
    }

    fn read(
        &mut self,
        framed: bool,
        start_line: &mut &'a [u8],
        index: &mut Index,
    ) -> Result<(StartLineView<'a>, &'a [u8]), ParseErrorKind> {
        let too_large = self.bytes.len() > self.limits.message;
        if too_large {
            // The head is still worth reading, for an answer.
            self.bytes = self.bytes.get(..self.limits.message).unwrap_or_default();
        }
        let line = self.line().ok_or(ParseErrorKind::HeadersUnended);
        let Ok(line) = line else {
            *start_line = self.bytes;
            return Err(line.err().unwrap_or(ParseErrorKind::StartLine));
        };
        *start_line = self.bytes.get(..line.end).unwrap_or_default();
        self.at = line.next;
        let start = self.start_line(start_line);
        // The headers are read even behind a broken start line: they tell whom to answer.
        let headers = self.headers(index);
        let start = start?;
        if start_line.len() > self.limits.start_line {
            return Err(ParseErrorKind::LineTooLong);
        }
        headers?;
        if too_large {
            return Err(ParseErrorKind::MessageTooLarge);
        }
        let body = self.body(framed, index)?;
        Ok((start, body))
    }

    fn skip_blank_lines(&mut self) -> Result<(), ParseErrorKind> {
        let blank = self
            .bytes
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'))
            .count();
        if blank > 0 {
            self.repairs.add(Repair::LeadingBlankLines);
            self.bytes = self.bytes.get(blank..).unwrap_or_default();
        }
        if self.bytes.is_empty() {
            Err(ParseErrorKind::Empty)
        } else {
            Ok(())
        }
    }

    /// The line at the cursor. `None` where the octets end before it does.
    fn line(&mut self) -> Option<Line> {
        let mut from = self.at;
        loop {
            let rest = self.bytes.get(from..)?;
            let found = from + find_line_end(rest)?;
            match (self.bytes.get(found), self.bytes.get(found + 1)) {
                (Some(b'\n'), _) => {
                    self.repairs.add(Repair::BareLineFeed);
                    return Some(Line {
                        end: found,
                        next: found + 1,
                    });
                }
                (_, Some(b'\n')) => {
                    return Some(Line {
                        end: found,
                        next: found + 2,
                    });
                }
                (_, Some(_)) => {
                    self.repairs.add(Repair::LoneCarriageReturn);
                    from = found + 1;
                }
                (_, None) => return None,
            }
        }
    }

    fn start_line(&mut self, line: &'a [u8]) -> Result<StartLineView<'a>, ParseErrorKind> {
        if line
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
        {
            return self.status_line(line);
        }
        let mut scan = Scan::new(line);
        let method = ascii(scan.take(TOKEN));
        let method = MethodView::from_token(method).ok_or(ParseErrorKind::StartLine)?;
        if !scan.eat(b' ') {
            return Err(ParseErrorKind::StartLine);
        }
        let rest = scan.rest();
        let gap = rest
            .iter()
            .rposition(|byte| *byte == b' ')
            .ok_or(ParseErrorKind::StartLine)?;
        let (uri, version) = rest
            .split_at_checked(gap)
            .ok_or(ParseErrorKind::StartLine)?;
        let version = version.get(1..).unwrap_or_default();
        if uri.is_empty() || uri.iter().any(|byte| is_lws(*byte)) {
            return Err(ParseErrorKind::StartLine);
        }
        check_version(version)?;
        Ok(StartLineView::Request { method, uri })
    }

    fn status_line(&mut self, line: &'a [u8]) -> Result<StartLineView<'a>, ParseErrorKind> {
        let gap = line
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(line.len());
        let (version, rest) = line.split_at_checked(gap).unwrap_or((line, &[]));
        check_version(version)?;
        let mut scan = Scan::new(rest.get(1..).unwrap_or_default());
        let status = status_code(&mut scan).ok_or(ParseErrorKind::StatusCode)?;
        match scan.bump() {
            Some(b' ') => {}
            None => self.repairs.add(Repair::MissingReasonSpace),
            Some(_) => return Err(ParseErrorKind::StatusCode),
        }
        Ok(StartLineView::Response {
            status,
            reason: scan.rest(),
        })
    }

    /// Reads header lines up to the empty one and leaves the cursor behind it.
    fn headers(&mut self, index: &mut Index) -> Result<(), ParseErrorKind> {
        loop {
            let start = self.at;
            let mut line = self.line().ok_or(ParseErrorKind::HeadersUnended)?;
            if line.end == start {
                self.at = line.next;
                return Ok(());
            }
            self.at = line.next;
            while matches!(self.bytes.get(self.at), Some(b' ' | b'\t')) {
                line = self.line().ok_or(ParseErrorKind::HeadersUnended)?;
                self.at = line.next;
            }
            let span = self.field(start, line.end)?;
            index.push(span, self.limits.headers)?;
        }
    }

    /// One header line with its folds.
    fn field(&mut self, start: usize, end: usize) -> Result<Span, ParseErrorKind> {
        let line = self.bytes.get(start..end).unwrap_or_default();
        if line.len() > self.limits.value {
            return Err(ParseErrorKind::LineTooLong);
        }
        let offset = |at: usize| u16::try_from(at).map_err(|_| ParseErrorKind::LineTooLong);
        let length = offset(line.len())?;
        let mut span = Span {
            line: u32::try_from(start).map_err(|_| ParseErrorKind::MessageTooLarge)?,
            length,
            value: 0,
            value_end: length,
            code: NOT_A_FIELD,
        };
        let mut scan = Scan::new(line);
        let name = scan.take(TOKEN);
        scan.lws();
        if name.is_empty() || !scan.eat(b':') {
            let folded = line.first().is_some_and(|byte| is_lws(*byte));
            self.repairs.add(if folded {
                Repair::StrayFold
            } else {
                Repair::NotAField
            });
            return Ok(span);
        }
        scan.lws();
        span.value = offset(scan.at())?;
        span.value_end = offset(scan.at() + trim(scan.rest()).len())?;
        span.code = code_of(name);
        Ok(span)
    }

    fn body(&mut self, framed: bool, index: &Index) -> Result<&'a [u8], ParseErrorKind> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(length) = self.content_length(index)? else {
            if framed {
                return Err(ParseErrorKind::ContentLengthMissing);
            }
            self.repairs.add(Repair::MissingContentLength);
            return Ok(rest);
        };
        let length = usize::try_from(length).map_err(|_| ParseErrorKind::BodyTruncated)?;
        let (body, extra) = rest
            .split_at_checked(length)
            .ok_or(ParseErrorKind::BodyTruncated)?;
        if !extra.is_empty() {
            let blank = extra.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            let repair = if blank {
                Repair::TrailingBlankLines
            } else {
                Repair::TrailingOctets
            };
            self.repairs.add(repair);
            self.bytes = self
                .bytes
                .get(..self.bytes.len() - extra.len())
                .unwrap_or_default();
        }
        Ok(body)
    }

    fn content_length(&mut self, index: &Index) -> Result<Option<u64>, ParseErrorKind> {
        let code = HeaderName::ContentLength.code();
        let mut length = None;
        for span in index.used().iter().filter(|span| span.code == code) {
            let value = value_at(self.bytes, span);
            let read = read_length(value).map_err(ParseErrorKind::ContentLength)?;
            match length {
                None => length = Some(read),
                Some(before) if before == read => self.repairs.add(Repair::RepeatedContentLength),
                Some(_) => return Err(ParseErrorKind::ContentLengthConflict),
            }
        }
        Ok(length)
    }

    fn salvage(&self, kind: ParseErrorKind, start_line: &[u8], index: &Index) -> ParseError {
        let mut scan = Scan::new(start_line);
        let method = MethodView::from_token(ascii(scan.take(TOKEN))).map(Method::from);
        let request = scan.peek() == Some(b' ');
        let headers =
            Headers::from_lines(index.used().iter().map(|span| header_at(self.bytes, span)));
        ParseError {
            kind,
            salvage: Some(Box::new(Salvage {
                method: method.filter(|_| request),
                status: status_of(start_line),
                headers,
            })),
        }
    }
}

/// The status of what begins as a response does, whatever is wrong behind that (RFC 3261 §7.2).
fn status_of(start_line: &[u8]) -> Option<StatusCode> {
    let (version, rest) =
        start_line.split_at_checked(start_line.iter().position(|b| *b == b' ')?)?;
    check_version(version).ok()?;
    status_code(&mut Scan::new(rest.get(1..)?))
}

/// Three digits that are a status.
fn status_code(scan: &mut Scan<'_>) -> Option<StatusCode> {
    let digits = scan.take_while(|byte| byte.is_ascii_digit());
    let code = ascii(digits).parse().ok();
    code.filter(|_| digits.len() == 3).and_then(StatusCode::new)
}

/// The length of the body that a complete head announces, for a stream.
pub(crate) fn announced_length(head: &[u8], limits: &Limits) -> Result<usize, ParseError> {
    let mut parser = Parser::new(head, limits);
    let mut index = Index::new();
    let mut start_line: &[u8] = &[];
    let mut read = || {
        let line = parser.line().ok_or(ParseErrorKind::HeadersUnended)?;
        start_line = head.get(..line.end).unwrap_or_default();
        parser.at = line.next;
        parser.headers(&mut index)?;
        let length = parser.content_length(&index)?;
        let length = length.ok_or(ParseErrorKind::ContentLengthMissing)?;
        let room = limits.message.saturating_sub(head.len());
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= room)
            .ok_or(ParseErrorKind::MessageTooLarge)
    };
    let length = read();
    length.map_err(|kind| parser.salvage(kind, start_line, &index))
}

/// The value of a Content-Length.
pub(crate) fn read_length(value: &[u8]) -> Result<u64, Fault> {
    let mut scan = Scan::new(value);
    let length = scan.number()?;
    scan.done()?;
    Ok(length)
}

fn check_version(version: &[u8]) -> Result<(), ParseErrorKind> {
    if version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Ok(());
    }
    let (name, number) = version
        .split_at_checked(4)
        .ok_or(ParseErrorKind::StartLine)?;
    let numbers = number
        .iter()
        .all(|byte| byte.is_ascii_digit() || *byte == b'.');
    if name.eq_ignore_ascii_case(b"SIP/") && numbers && !number.is_empty() {
        Err(ParseErrorKind::Version)
    } else {
        Err(ParseErrorKind::StartLine)
    }
}

/// Where the first CR or LF is, eight octets at a time.
pub(crate) fn find_line_end(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zeroes = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (chunks, tail) = bytes.as_chunks::<8>();
    for (position, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let hits = zeroes(word ^ (ONES * 0x0d)) | zeroes(word ^ (ONES * 0x0a));
        if hits != 0 {
            return Some(position * 8 + hits.trailing_zeros() as usize / 8);
        }
    }
    let found = tail.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    Some(chunks.len() * 8 + found)
}

#[cfg(test)]
mod tests;
