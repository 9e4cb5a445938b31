//! `tipring demo`: two organisations with three accounts on the built-in switchboard. With a display
//! the window opens on it; without one the same calls run here and their ladder is printed.

use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use engine::{
    CallMedia, Engine, EngineConfig, EngineHandle, GivenAccount, GivenTenant, Naming, Sink, Source,
    Subscription,
};
use model::{AccountSettings, CallState, CallView, Command, Event, RegistrationState};
use secrecy::SecretString;
use switchboard::{Config, Switchboard, Users};

use crate::cli::Common;
use crate::report::quality_line;
use crate::session::runtime;
use crate::{Outcome, window};

/// Prints a line; a reader that has gone away ends the printing, not the calls.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// An organisation of the demonstration.
struct Organisation {
    name: &'static str,
    domain: &'static str,
    /// Users with their passwords.
    users: &'static [(&'static str, &'static str)],
}

const ORGANISATIONS: [Organisation; 2] = [
    Organisation {
        name: "Harbour Logistics",
        domain: "harbour.test",
        users: &[("alice", "tide-and-quay"), ("desk", "crane-seven")],
    },
    Organisation {
        name: "Northlight Clinic",
        domain: "northlight.test",
        users: &[("bob", "window-seat")],
    },
];
/// What of a step may take at most.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the calls talk.
const TALK: Duration = Duration::from_secs(3);

pub(crate) fn run(common: &Common, started: Instant) -> anyhow::Result<Outcome> {
    if window::has_display() {
        return window::run(common, true, None, started);
    }
    runtime()?.block_on(without_window())
}

/// The switchboard of the demonstration and the accounts on it.
pub(crate) struct Demo {
    /// Serves as long as it lives.
    _switchboard: Switchboard,
    given: Vec<GivenTenant>,
    hosts: HashMap<String, Vec<IpAddr>>,
}

impl Demo {
    /// Starts a switchboard on the loopback interface.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut config = Config::open_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let users = ORGANISATIONS
            .iter()
            .flat_map(|organisation| organisation.users);
        config.users = Users::List(
            users
                .map(|(user, password)| ((*user).to_owned(), (*password).to_owned()))
                .collect(),
        );
        let switchboard = Switchboard::start(config).await?;
        let (_, addr) = switchboard
            .local_addrs()
            .first()
            .copied()
            .context("the switchboard listens nowhere")?;
        let given = ORGANISATIONS
            .iter()
            .map(|organisation| GivenTenant {
                name: organisation.name.to_owned(),
                accounts: organisation
                    .users
                    .iter()
                    .map(|(user, password)| account(user, organisation.domain, password, addr))
                    .collect(),
            })
            .collect();
        let hosts = ORGANISATIONS
            .iter()
            .map(|organisation| (organisation.domain.to_owned(), vec![addr.ip()]))
            .collect();
        Ok(Self {
            _switchboard: switchboard,
            given,
            hosts,
        })
    }

    /// What there is to call: the echo to begin with, a person of the other organisation, and two failures that
    /// say why.
    pub(crate) fn suggestions(&self) -> Vec<ui::Suggestion> {
        [
            ("Call the echo test", "echo"),
            ("Bob at the clinic", "sip:bob@northlight.test"),
            ("A busy number", "busy"),
            ("An unknown number", "404"),
        ]
        .map(|(words, target)| ui::Suggestion {
            words: words.to_owned(),
            target: target.to_owned(),
        })
        .to_vec()
    }

    /// An engine with the demonstration's accounts and nothing kept.
    pub(crate) fn engine_config(&self) -> EngineConfig {
        EngineConfig {
            use_settings: false,
            given: self.given.clone(),
            naming: Naming {
                hosts: self.hosts.clone(),
                ..Naming::default()
            },
            ..EngineConfig::default()
        }
    }
}

fn account(user: &str, domain: &str, password: &str, switchboard: SocketAddr) -> GivenAccount {
    let mut settings = AccountSettings::new(format!("sip:{user}@{domain}"));
    let mut name = user.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    settings.display_name = name.into();
    settings.proxy = Some(format!("sip:{switchboard};lr").into());
    GivenAccount {
        logins: Vec::new(),
        settings,
        password: Some(SecretString::from(password.to_owned())),
        relay_password: None,
    }
}

/// The same calls without a window: sign in, call echo, call each other, fail in an instructive way.
async fn without_window() -> anyhow::Result<Outcome> {
    let demo = Demo::start().await?;
    let mut config = demo.engine_config();
    config.media = CallMedia::PerCall {
        source: Source::Tone { hz: 440.0 },
        sink: Sink::Discard,
    };
    let engine = Engine::start(config).await?;
    let events = engine.subscribe(None);
    let mut stage = Stage { engine, events };
    let result = stage.play().await;
    stage.engine.shutdown(Duration::from_secs(5)).await;
    result?;
    Ok(Outcome::Done)
}

struct Stage {
    engine: EngineHandle,
    events: Subscription,
}

impl Stage {
    async fn play(&mut self) -> anyhow::Result<()> {
        print("Signing in three accounts of two organisations at the built-in switchboard …");
        self.until("the accounts did not sign in", |stage| {
            let accounts = stage.engine.snapshot().accounts;
            let registered = accounts
                .iter()
                .filter(|a| a.state == RegistrationState::Registered)
                .count();
            (registered == 3).then_some(())
        })
        .await?;
        for account in self.engine.snapshot().accounts {
            print(&format!(
                "  {} is registered at {}",
                account.title(),
                account.target.as_deref().unwrap_or("?")
            ));
        }
        let echo = self.call("alice@", "echo", false).await?;
        self.print_ladder(&echo).await;
        let bob = self.call("alice@", "sip:bob@northlight.test", true).await?;
        self.print_ladder(&bob).await;
        let busy = self.place("alice@", "busy").await?;
        let busy = self.ended(&busy).await?;
        let failure = busy
            .failure
            .as_ref()
            .context("the busy number was not busy")?;
        print(&format!(
            "\nA call to “busy” fails, and says why:\n  {}",
            failure.sentence().reveal()
        ));
        Ok(())
    }

    /// Calls, answers at the other end where that is one of ours, talks, and hangs up.
    async fn call(&mut self, from: &str, target: &str, answer: bool) -> anyhow::Result<CallView> {
        print(&format!(
            "\n{} calls {target} …",
            from.trim_end_matches('@')
        ));
        let placed = self.place(from, target).await?;
        if answer {
            let ringing = self
                .until("nobody rang", |stage| {
                    let calls = stage.engine.snapshot().calls;
                    calls.into_iter().find(|c| {
                        c.direction == model::Direction::Incoming && c.state == CallState::Ringing
                    })
                })
                .await?;
            self.engine.send(Command::AnswerCall { call: ringing.id });
        }
        self.until("the call was not answered", |stage| {
            stage.view(&placed).filter(|c| c.state.is_up()).map(|_| ())
        })
        .await?;
        tokio::time::sleep(TALK).await;
        self.engine.send(Command::EndCall { call: placed.id });
        self.ended(&placed).await
    }

    async fn place(&mut self, from: &str, target: &str) -> anyhow::Result<CallView> {
        let account = self
            .engine
            .snapshot()
            .accounts
            .into_iter()
            .find(|a| a.title().starts_with(from));
        let account = account.context("there is no such account")?.id;
        let known = self.engine.snapshot().calls.len();
        self.engine.send(Command::PlaceCall {
            account,
            target: target.into(),
            headers: Vec::new(),
            direction: model::MediaDirection::Both,
        });
        self.until("the call was not made", |stage| {
            let calls = stage.engine.snapshot().calls;
            calls
                .into_iter()
                .skip(known)
                .find(|c| c.direction == model::Direction::Outgoing)
        })
        .await
    }

    async fn ended(&mut self, call: &CallView) -> anyhow::Result<CallView> {
        self.until("the call did not end", |stage| {
            stage.view(call).filter(|c| c.state == CallState::Ended)
        })
        .await
    }

    fn view(&self, call: &CallView) -> Option<CallView> {
        self.engine
            .snapshot()
            .calls
            .into_iter()
            .find(|c| c.id == call.id)
    }

    async fn print_ladder(&mut self, call: &CallView) {
        // The goodbye is answered on each leg, and the recorder tells in batches.
        let _ = self
            .until("the goodbye was not recorded", |stage| {
                let trace = stage.engine.snapshot().trace;
                let of_call = trace.iter().map(trace::summary);
                let of_call =
                    of_call.filter(|s| s.call_id.as_deref() == Some(call.sip_call_id.as_str()));
                let (mut legs, mut goodbyes) = (0, 0);
                for said in of_call {
                    match said.method.as_deref() {
                        Some("INVITE") if said.code() == Some(200) => legs += 1,
                        Some("BYE") if said.code().is_some() => goodbyes += 1,
                        _ => {}
                    }
                }
                (goodbyes > 0 && goodbyes >= legs).then_some(())
            })
            .await;
        let mut records: Vec<_> = self
            .engine
            .snapshot()
            .trace
            .into_iter()
            .filter(|record| {
                trace::summary(record).call_id.as_deref() == Some(call.sip_call_id.as_str())
            })
            .collect();
        records.sort_by_key(|record| record.time);
        let ladder = trace::ladder::layout(&records);
        print(&trace::ladder::text::render(
            &ladder,
            &trace::ladder::text::TextOptions::default(),
        ));
        print(&quality_line(call));
    }

    /// Waits for events until something is so.
    async fn until<T>(
        &mut self,
        otherwise: &str,
        so: impl Fn(&Self) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = so(self) {
                return Ok(found);
            }
            match tokio::time::timeout_at(deadline, self.events.next()).await {
                Ok(Event::Stopped) => bail!("the engine stopped"),
                Ok(_) => {}
                Err(_) => bail!("{otherwise}"),
            }
        }
    }
}
