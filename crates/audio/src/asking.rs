//! Questions to the sound system that may never be answered.
//!
//! A sound server that has stopped, a card whose driver waits, a plug-in that connects to somewhere: opening such a device takes
//! for ever, and so does listing it. So each question has a thread of its own, and who asked waits for some seconds and goes on
//! without the device. The thread stays until it is answered; what it brings then is closed, and not used.
//!
//! Such threads are few: a device that owes an answer is not asked for another, and where [`AT_ONCE`] questions are open nothing
//! is asked at all. So a device is tried again once it has answered, however late.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a device may take to open: some need seconds to wake up.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// How many questions may be open at once, each with a thread.
pub const AT_ONCE: usize = 16;

/// How long one waits for another to be answered first: some plug-ins cannot be opened by two at once, and a device that
/// works opens in hundredths of a second.
const TURN: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// It is late, or the one to the question before is.
    Late,
    /// So many others are open that it was not asked.
    Crowd,
    /// There is no thread to ask with.
    Thread(std::io::Error),
    /// A fault inside.
    Fault,
}

/// Asks `what` the sound system by `question`, which may block for ever, and waits for so long.
///
/// # Errors
/// There is no answer in time. One that comes later is dropped.
pub fn in_time<T: Send + 'static>(
    what: &str,
    patience: Duration,
    question: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unanswered> {
    DESK.ask(what, patience, question)
}

static DESK: LazyLock<Desk> = LazyLock::new(Desk::default);

thread_local! {
    /// Whether somebody still waits for what this thread is asking.
    static GIVEN_UP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Whether nobody waits for the answer any more, asked by who is asking.
pub(crate) fn is_given_up() -> bool {
    GIVEN_UP.with_borrow(|flag| flag.as_ref().is_some_and(|flag| flag.load(Relaxed)))
}

/// What is done meanwhile is done for nobody else but who waits here.
pub(crate) fn on_behalf<T>(of: Option<Arc<AtomicBool>>, work: impl FnOnce() -> T) -> T {
    let before = GIVEN_UP.replace(of);
    let done = work();
    GIVEN_UP.set(before);
    done
}

/// For a thread that goes on with the question of this one.
pub(crate) fn behalf() -> Option<Arc<AtomicBool>> {
    GIVEN_UP.with_borrow(Clone::clone)
}

/// Counts something that may block among the questions, as long as this is held.
pub(crate) fn counted(what: &str) -> impl Send + use<> {
    DESK.counted(what)
}

/// Waits for the turn to use what cannot be used by two at once; it ends with what is given back. Whoever is at it for
/// long holds up nobody.
pub(crate) fn turn() -> impl Sized {
    DESK.turn(TURN)
}

/// Where questions are open.
#[derive(Default)]
struct Desk {
    open: Mutex<Open>,
    turn_over: Condvar,
}

#[derive(Default)]
struct Open {
    questions: Vec<Question>,
    numbers: u64,
    turn: Option<(u64, Instant)>,
}

impl Open {
    fn add(&mut self, what: &str) -> u64 {
        self.numbers += 1;
        self.questions.push(Question {
            number: self.numbers,
            what: what.to_owned(),
            overdue: false,
        });
        self.numbers
    }
}

struct Question {
    number: u64,
    what: String,
    /// Who asked has gone on without the answer.
    overdue: bool,
}

/// A question that is open; it is none any more once this is dropped.
struct Asked {
    desk: &'static Desk,
    number: u64,
}

impl Drop for Asked {
    fn drop(&mut self) {
        let number = self.number;
        let mut open = self.desk.open();
        open.questions.retain(|question| question.number != number);
    }
}

/// A turn; the next one's begins when this is dropped.
struct Turn<'a> {
    desk: &'a Desk,
    number: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut open = self.desk.open();
        if open.turn.is_some_and(|(number, _)| number == self.number) {
            open.turn = None;
            self.desk.turn_over.notify_one();
        }
    }
}

impl Desk {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T: Send + 'static>(
        &'static self,
        what: &str,
        patience: Duration,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        let mut open = self.open();
        if open.questions.iter().any(|q| q.overdue && q.what == what) {
            return Err(Unanswered::Late);
        }
        if open.questions.len() >= AT_ONCE {
            tracing::warn!(what, "too many questions to the sound system are open");
            return Err(Unanswered::Crowd);
        }
        let number = open.add(what);
        drop(open);
        let asked = Asked { desk: self, number };
        let given_up = Arc::new(AtomicBool::new(false));
        let behalf = Some(Arc::clone(&given_up));
        let (answer, answers) = mpsc::channel();
        let thread = std::thread::Builder::new().name("audio-ask".to_owned());
        let asks = thread.spawn(move || {
            let said = on_behalf(behalf, question);
            // What comes too late is closed before the device may be asked again.
            let late = answer.send(said).err();
            drop(late);
            drop(asked);
        });
        asks.map_err(Unanswered::Thread)?;
        match answers.recv_timeout(patience) {
            Ok(said) => Ok(said),
            Err(RecvTimeoutError::Disconnected) => Err(Unanswered::Fault),
            Err(RecvTimeoutError::Timeout) => {
                given_up.store(true, Relaxed);
                let mut open = self.open();
                if let Some(q) = open.questions.iter_mut().find(|q| q.number == number) {
                    q.overdue = true;
                }
                tracing::warn!(what, ?patience, "the sound system does not answer");
                Err(Unanswered::Late)
            }
        }
    }

    fn counted(&'static self, what: &str) -> Asked {
        let number = self.open().add(what);
        Asked { desk: self, number }
    }

    fn turn(&self, patience: Duration) -> Turn<'_> {
        let mut open = self.open();
        while let Some((_, since)) = open.turn {
            let left = patience.saturating_sub(since.elapsed());
            if left.is_zero() {
                break;
            }
            let waited = self.turn_over.wait_timeout(open, left);
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        open.numbers += 1;
        let number = open.numbers;
        open.turn = Some((number, Instant::now()));
        Turn { desk: self, number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(20);

    fn desk() -> &'static Desk {
        Box::leak(Box::default())
    }

    fn until(what: &str, mut done: impl FnMut() -> bool) {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < LONG, "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_question_without_an_answer_holds_up_nobody_and_is_not_asked_twice() {
        let desk = desk();
        let (answer, answers) = mpsc::channel::<()>();
        let late = desk.ask("speaker", SHORT, move || answers.recv().is_ok());
        assert!(matches!(late, Err(Unanswered::Late)), "{late:?}");
        // Another device is asked meanwhile, and this one not.
        assert_eq!(desk.ask("microphone", LONG, || 7).ok(), Some(7));
        let began = Instant::now();
        let again = desk.ask("speaker", LONG, || true);
        assert!(matches!(again, Err(Unanswered::Late)), "{again:?}");
        assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
        // It has answered, and may be asked again.
        drop(answer);
        until("it is answered", || desk.open().questions.is_empty());
        assert_eq!(desk.ask("speaker", LONG, || true).ok(), Some(true));
    }

    #[test]
    fn what_comes_late_is_closed_before_it_is_asked_for_again() {
        struct Device(Arc<AtomicBool>);
        impl Drop for Device {
            fn drop(&mut self) {
                self.0.store(true, Relaxed);
            }
        }
        let desk = desk();
        let (open, opens) = mpsc::channel();
        let (closed, told) = (Arc::new(AtomicBool::new(false)), mpsc::channel());
        let device = Device(Arc::clone(&closed));
        let late = desk.ask("speaker", SHORT, move || {
            let _ = opens.recv();
            let _ = told.0.send(is_given_up());
            device
        });
        assert!(matches!(late, Err(Unanswered::Late)));
        assert!(!closed.load(Relaxed), "it is not there yet");
        open.send(()).expect("it waits");
        until("it may be asked again", || desk.open().questions.is_empty());
        assert!(closed.load(Relaxed));
        assert_eq!(told.1.recv(), Ok(true), "it could know");
    }

    #[test]
    fn threads_that_hang_are_bounded_and_more_is_not_asked() {
        let desk = desk();
        let (answer, answers) = mpsc::channel::<()>();
        let answers = Arc::new(Mutex::new(answers));
        for device in 0..AT_ONCE {
            let answers = Arc::clone(&answers);
            let hangs = move || drop(answers.lock().map(|answers| answers.recv()));
            let late = desk.ask(&format!("device {device}"), Duration::ZERO, hangs);
            assert!(matches!(late, Err(Unanswered::Late)), "{device}: {late:?}");
        }
        let crowd = desk.ask("one more", LONG, || ());
        assert!(matches!(crowd, Err(Unanswered::Crowd)), "{crowd:?}");
        assert_eq!(desk.open().questions.len(), AT_ONCE);
        drop(answer);
        until("all is answered", || desk.open().questions.is_empty());
        assert!(desk.ask("one more", LONG, || ()).is_ok());
    }

    #[test]
    fn one_after_the_other_unless_one_does_not_come_to_an_end() {
        let desk = desk();
        let first = desk.turn(LONG);
        let (came, comes) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _turn = desk.turn(LONG);
                came.send(()).expect("somebody waits");
            });
            assert!(comes.recv_timeout(SHORT).is_err(), "it waits for its turn");
            drop(first);
            assert_eq!(comes.recv_timeout(LONG), Ok(()));
        });
        let _hangs = desk.turn(LONG);
        let began = Instant::now();
        let _passes = desk.turn(SHORT);
        assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
    }

    #[test]
    fn a_fault_in_a_question_is_no_answer() {
        let desk = desk();
        let fault = desk.ask("speaker", LONG, || panic!("a fault"));
        assert!(matches!(fault, Err(Unanswered::Fault)), "{fault:?}");
        until("it is over", || desk.open().questions.is_empty());
    }
}
