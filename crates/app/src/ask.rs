//! Logins that are asked for while a person sits at the terminal: the realm is named, and nothing is shown of what is
//! typed.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use model::{Command, Event, LoginPurpose, LoginWanted, Password};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::report::printable;

/// How long what needs a login waits for a person to type one, in seconds.
pub(crate) const PATIENCE_S: u16 = 120;

/// Whether somebody can be asked: at both ends is a terminal, and it can be kept from showing what is typed.
pub(crate) fn somebody() -> bool {
    cfg!(unix) && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks one question after the other.
pub(crate) struct Terminal {
    /// What is asked at present, and what after it.
    open: VecDeque<LoginWanted>,
    /// Nobody waits any more for what is asked at present.
    too_late: bool,
    questions: Sender<String>,
    answers: UnboundedReceiver<Option<Password>>,
    echo: Arc<Echo>,
    /// A login for the registration was given, and what comes of it is not known yet.
    tries: bool,
}

impl Terminal {
    /// Begins to listen, where somebody can be asked.
    pub(crate) fn open() -> Option<Self> {
        if !somebody() {
            return None;
        }
        let (questions, asked) = channel::<String>();
        let (answered, answers) = unbounded_channel();
        let echo = Arc::new(Echo::default());
        let quiet = Arc::clone(&echo);
        // It waits for a person for as long as that takes, and ends with the program.
        let listens = move || {
            for question in asked {
                if answered.send(quiet.line(&question)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(listens)
            .ok()?;
        Some(Self {
            open: VecDeque::new(),
            too_late: false,
            questions,
            answers,
            echo,
            tries: false,
        })
    }

    /// Takes what was asked for before anybody listened.
    pub(crate) fn take(&mut self, questions: &[LoginWanted]) {
        for question in questions {
            match self.open.iter_mut().find(|open| open.id == question.id) {
                // What is typed already answers it as it is now.
                Some(open) => open.clone_from(question),
                None => {
                    self.open.push_back(question.clone());
                    self.ask_if_first();
                }
            }
        }
    }

    /// A login is asked for, or nobody waits for one any more, or what was given has come to something.
    pub(crate) fn on_event(&mut self, event: &Event) {
        match event {
            Event::LoginWanted { login } => self.take(std::slice::from_ref(login)),
            // What stands on the terminal stays there until it is answered.
            Event::LoginSettled { login } => {
                if let Some(asked) = self.open.pop_front() {
                    self.too_late |= asked.id == login.id;
                    self.open.retain(|other| other.id != login.id);
                    self.open.push_front(asked);
                }
            }
            Event::Account { account } if account.state != model::RegistrationState::Refused => {
                self.tries = false;
            }
            _ => {}
        }
    }

    /// Whether a registration that was refused may still come to something.
    pub(crate) fn may_help(&self) -> bool {
        let registers = |login: &LoginWanted| login.purpose == LoginPurpose::Registration;
        let mut stands = self.open.iter().skip(usize::from(self.too_late));
        self.tries || stands.any(registers)
    }

    /// What a person has answered to the question that stands there.
    pub(crate) async fn answered(&mut self) -> Command {
        loop {
            let Some(typed) = self.answers.recv().await else {
                std::future::pending::<()>().await;
                continue;
            };
            let Some(login) = self.open.pop_front() else {
                continue;
            };
            self.ask_next();
            if std::mem::take(&mut self.too_late) {
                continue;
            }
            return match typed {
                Some(password) => {
                    self.tries |= login.purpose == LoginPurpose::Registration;
                    Command::AnswerLogin {
                        question: login.id,
                        user: None,
                        password,
                        keep: false,
                    }
                }
                None => Command::DeclineLogin { question: login.id },
            };
        }
    }

    /// Leaves the terminal as it was.
    pub(crate) fn leave(&self) {
        self.echo.on();
    }

    fn ask_if_first(&mut self) {
        if self.open.len() == 1 {
            self.ask_next();
        }
    }

    fn ask_next(&mut self) {
        if let Some(login) = self.open.front() {
            let question = format!(
                "Password of {} for “{}”: ",
                login.user.reveal(),
                login.realm
            );
            let _ = self.questions.send(printable(&question));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Whether the terminal shows what is typed.
#[derive(Default)]
struct Echo {
    /// How it was, while it does not.
    #[cfg(unix)]
    was: std::sync::Mutex<Option<nix::sys::termios::Termios>>,
}

impl Echo {
    /// Asks, and reads one line that is not shown. Nothing where nothing was typed.
    fn line(&self, question: &str) -> Option<Password> {
        self.off().ok()?;
        let mut stderr = io::stderr();
        let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
        let mut line = Password(String::new());
        let read = io::stdin().read_line(&mut line.0);
        self.on();
        // The line break was not shown either.
        let _ = writeln!(stderr);
        read.ok()?;
        let typed = line.0.trim_end_matches(['\r', '\n']).len();
        line.0.truncate(typed);
        (!line.0.is_empty()).then_some(line)
    }
}

#[cfg(unix)]
impl Echo {
    /// Shows nothing from now on, and forgets what was typed before it was asked for.
    fn off(&self) -> io::Result<()> {
        use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
        let stdin = io::stdin();
        let was = tcgetattr(&stdin)?;
        let mut quiet = was.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(&stdin, SetArg::TCSAFLUSH, &quiet)?;
        *self.was() = Some(was);
        Ok(())
    }

    /// Shows what it showed before.
    fn on(&self) {
        use nix::sys::termios::{SetArg, tcsetattr};
        if let Some(was) = self.was().take() {
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &was);
        }
    }

    fn was(&self) -> std::sync::MutexGuard<'_, Option<nix::sys::termios::Termios>> {
        self.was
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(not(unix))]
impl Echo {
    fn off(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn on(&self) {}
}

#[cfg(test)]
mod tests {
    use model::{AccountId, CallId, QuestionId, Timestamp};
    use std::sync::mpsc::Receiver;
    use tokio::sync::mpsc::UnboundedSender;

    use super::*;

    /// One at which a test sits: what it is asked, and what it types.
    fn terminal() -> (
        Terminal,
        Receiver<String>,
        UnboundedSender<Option<Password>>,
    ) {
        let (questions, asked) = channel();
        let (typed, answers) = unbounded_channel();
        let terminal = Terminal {
            open: VecDeque::new(),
            too_late: false,
            questions,
            answers,
            echo: Arc::default(),
            tries: false,
        };
        (terminal, asked, typed)
    }

    fn question(id: u64, realm: &str, refused: bool) -> Box<LoginWanted> {
        Box::new(LoginWanted {
            id: QuestionId(id),
            account: AccountId::new("alice"),
            realm: realm.to_owned(),
            server: None,
            user: "alice".into(),
            refused,
            purpose: LoginPurpose::Registration,
            call: Some(CallId(id)),
            since: Timestamp(i64::try_from(id).unwrap_or(0)),
        })
    }

    fn word(text: &str) -> Option<Password> {
        Some(Password(text.to_owned()))
    }

    /// The next answer is this password to this question.
    async fn assert_answers(terminal: &mut Terminal, id: u64, word: &str) {
        let answer = terminal.answered().await;
        let Command::AnswerLogin {
            question, password, ..
        } = answer
        else {
            panic!("{answer:?}");
        };
        assert_eq!((question, password.0.as_str()), (QuestionId(id), word));
    }

    #[tokio::test]
    async fn what_is_typed_answers_the_question_that_stands_there_as_it_is_by_then() {
        let (mut terminal, asked, typed) = terminal();
        terminal.on_event(&Event::LoginWanted {
            login: question(1, "pbx", false),
        });
        // What another flow showed was refused meanwhile: nobody is asked twice for it.
        terminal.on_event(&Event::LoginWanted {
            login: question(1, "pbx", true),
        });
        assert_eq!(asked.try_iter().count(), 1);
        typed.send(word("secret")).expect("it listens");
        assert_answers(&mut terminal, 1, "secret").await;
        assert_eq!(asked.try_iter().count(), 0);
    }

    #[tokio::test]
    async fn what_is_typed_for_somebody_who_waits_no_longer_goes_to_nobody() {
        let (mut terminal, asked, typed) = terminal();
        for id in [1, 2] {
            terminal.on_event(&Event::LoginWanted {
                login: question(id, "pbx", false),
            });
        }
        terminal.on_event(&Event::LoginSettled {
            login: question(1, "pbx", false),
        });
        typed.send(word("too late")).expect("it listens");
        typed.send(word("in time")).expect("it listens");
        assert_answers(&mut terminal, 2, "in time").await;
        assert_eq!(asked.try_iter().count(), 2);
    }
}
