//! One way to read every header value, borrowed or owned.

use std::marker::PhantomData;

use crate::error::Fault;
use crate::scan::Scan;

/// Something that can be read from a header's value.
///
/// A borrowed view and the owned type made from it both implement this, the latter by reading the
/// former, so each rule of the grammar is written once.
pub trait Value<'a>: Sized {
    /// Reads one element from the cursor and leaves it behind the element: at the end, or at the
    /// comma that begins the next element.
    ///
    /// # Errors
    /// The first rule of the grammar that the value breaks.
    fn read(scan: &mut Scan<'a>) -> Result<Self, Fault>;
}

/// Reads a value that must fill the whole text.
///
/// # Errors
/// The first rule of the grammar that the value breaks, or that something follows it.
pub fn read_whole<'a, T: Value<'a>>(bytes: &'a [u8]) -> Result<T, Fault> {
    let mut scan = Scan::new(bytes);
    scan.lws();
    let value = T::read(&mut scan)?;
    scan.done()?;
    Ok(value)
}

/// The comma-separated elements of one header line, read as the iterator advances. It ends after
/// the first element that cannot be read, since where the next begins is then unknown.
#[derive(Clone, Debug)]
pub struct Elements<'a, T> {
    scan: Scan<'a>,
    state: State,
    element: PhantomData<T>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Between,
    End,
}

impl<'a, T: Value<'a>> Elements<'a, T> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            scan: Scan::new(bytes),
            state: State::Start,
            element: PhantomData,
        }
    }
}

impl<'a, T: Value<'a>> Iterator for Elements<'a, T> {
    type Item = Result<T, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.scan.lws();
        match self.state {
            State::End => return None,
            State::Start => {}
            State::Between if self.scan.is_done() => {
                self.state = State::End;
                return None;
            }
            State::Between if self.scan.eat(b',') => self.scan.lws(),
            State::Between => {
                self.state = State::End;
                return Some(Err(Fault::Trailing));
            }
        }
        self.state = State::Between;
        let item = T::read(&mut self.scan);
        if item.is_err() {
            self.state = State::End;
        }
        Some(item)
    }
}
