use proptest::prelude::*;

use super::*;

const OPTIONS: &[u8] = b"OPTIONS sip:ben@lab.example SIP/2.0\r\nl: 0\r\n\r\n";
const MESSAGE: &[u8] =
    b"MESSAGE sip:ben@lab.example SIP/2.0\r\nContent-Length: 8\r\n\r\n\r\n\r\nhi\r\n";

fn all(framer: &mut StreamFramer) -> Vec<Frame> {
    std::iter::from_fn(|| framer.poll().expect("can be framed")).collect()
}

fn framed(parts: &[&[u8]]) -> Vec<Frame> {
    let mut framer = StreamFramer::new();
    let mut frames = Vec::new();
    for part in parts {
        framer.push(part);
        frames.extend(all(&mut framer));
    }
    frames
}

/// Case 27: several messages in one segment, keepalives and spare line ends between them.
#[test]
fn one_segment_holds_several_messages_and_keepalives() {
    let segment = [OPTIONS, b"\r\n\r\n", MESSAGE, b"\r\n", OPTIONS].concat();
    let expected = [
        Frame::Message(OPTIONS.to_vec()),
        Frame::Ping,
        Frame::Message(MESSAGE.to_vec()),
        Frame::Pong,
        Frame::Message(OPTIONS.to_vec()),
    ];
    assert_eq!(framed(&[&segment]), expected);
}

/// Case 26: line ends within a body are no keepalives, and a ping may be split anywhere.
#[test]
fn a_ping_may_be_split_anywhere() {
    for split in 1..4 {
        let (one, two) = b"\r\n\r\n".split_at(split);
        assert_eq!(framed(&[one, two]), [Frame::Ping], "split at {split}");
    }
}

#[test]
fn a_pong_that_is_due_is_told_at_once() {
    let mut framer = StreamFramer::new();
    framer.expect_pong();
    framer.push(b"\r\n");
    assert_eq!(all(&mut framer), [Frame::Pong]);
    framer.push(b"\r\n");
    assert_eq!(all(&mut framer), []);
    framer.push(b"\r\n");
    assert_eq!(all(&mut framer), [Frame::Ping]);
}

#[test]
fn a_stream_needs_content_length_and_says_whom_to_answer() {
    let mut framer = StreamFramer::new();
    framer.push(b"OPTIONS sip:a@lab.example SIP/2.0\r\nVia: SIP/2.0/TCP a.example;branch=z9hG4bK1\r\nCall-ID: 1\r\n\r\n");
    let error = framer.poll().expect_err("has no length");
    assert_eq!(error.0.kind, ParseErrorKind::ContentLengthMissing);
    assert_eq!(
        error.0.answer().expect("has a Via").headers.call_id(),
        Ok("1")
    );
    framer.push(OPTIONS);
    assert_eq!(
        framer.poll(),
        Err(error),
        "a stream that was lost stays lost"
    );
    assert_eq!(framer.buffered(), 0);
}

#[test]
fn lengths_that_say_nothing_or_too_much_end_the_stream() {
    let cases = [
        ("-1", ParseErrorKind::ContentLength(crate::Fault::Number)),
        (
            "99999999999999999999999",
            ParseErrorKind::ContentLength(crate::Fault::Range),
        ),
        ("65536", ParseErrorKind::MessageTooLarge),
        ("5\r\nl: 6", ParseErrorKind::ContentLengthConflict),
    ];
    for (length, kind) in cases {
        let mut framer = StreamFramer::new();
        framer.push(format!("BYE sip:a@b SIP/2.0\r\nContent-Length: {length}\r\n\r\n").as_bytes());
        assert_eq!(
            framer.poll().map_err(|error| error.0.kind),
            Err(kind),
            "{length}"
        );
    }
}

#[test]
fn a_head_without_end_is_dropped_at_the_limit() {
    let mut framer = StreamFramer::with_limits(Limits {
        message: 1000,
        ..Limits::default()
    });
    let mut pushed = 0;
    let error = loop {
        framer.push(b"X: 1234567\r\n");
        pushed += 12;
        assert!(pushed < 2000, "grows past its limit");
        if let Err(error) = framer.poll() {
            break error;
        }
    };
    assert_eq!(error.0.kind, ParseErrorKind::MessageTooLarge);
}

#[derive(Clone, Debug)]
enum Piece {
    Message(Vec<u8>),
    Ping,
}

fn piece() -> impl Strategy<Value = Piece> {
    let body = proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), any::<u8>()], 0..60);
    let message = body.prop_map(|body| {
        let head = format!(
            "INFO sip:a@lab.example SIP/2.0\r\nX: a\r\n b\r\nl : {}\r\n\r\n",
            body.len()
        );
        Piece::Message([head.as_bytes(), &body].concat())
    });
    prop_oneof![3 => message, 1 => Just(Piece::Ping)]
}

proptest! {
    /// Case 27: any concatenation, cut anywhere, gives the same frames.
    #[test]
    fn frames_do_not_depend_on_how_the_stream_is_cut(
        pieces in proptest::collection::vec(piece(), 0..8),
        cuts in proptest::collection::vec(1usize..40, 0..60),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Message(bytes) => {
                    stream.extend_from_slice(&bytes);
                    expected.push(Frame::Message(bytes));
                }
                Piece::Ping => {
                    stream.extend_from_slice(b"\r\n\r\n");
                    expected.push(Frame::Ping);
                }
            }
        }
        let mut framer = StreamFramer::new();
        let mut frames = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts {
            let (part, after) = rest.split_at(cut.min(rest.len()));
            framer.push(part);
            frames.extend(all(&mut framer));
            rest = after;
        }
        framer.push(rest);
        frames.extend(all(&mut framer));
        prop_assert_eq!(frames, expected);
        prop_assert_eq!(framer.buffered(), 0);
    }

    #[test]
    fn no_octets_make_the_framer_panic_or_grow(parts in proptest::collection::vec(any::<Vec<u8>>(), 0..10)) {
        let mut framer = StreamFramer::new();
        let mut pushed = 0;
        for part in parts {
            pushed += part.len();
            framer.push(&part);
            while let Ok(Some(_)) = framer.poll() {}
            prop_assert!(framer.buffered() <= pushed);
        }
    }
}
