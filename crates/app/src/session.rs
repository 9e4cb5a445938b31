//! An engine with a listener, for subcommands that run until something has happened.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use engine::{
    CallMedia, Engine, EngineConfig, EngineHandle, GivenTenant, Sink, Source, Subscription,
};
use model::{
    AccountId, AccountView, CallId, CallView, Command, DeviceId, Event, RegistrationState, Transfer,
};
use serde_json::json;
use settings::{DeviceChoices, Folders};
use tokio::runtime::Runtime;

use crate::account;
use crate::ask::Terminal;
use crate::cli::{AccountArgs, AudioArgs, AudioWord, Common};
use crate::report::Report;
use crate::words;

/// How long an engine may take to hang up and sign out.
const FAREWELL: Duration = Duration::from_secs(6);
/// The same when nobody answers, or everything has been said already.
const SHORT_FAREWELL: Duration = Duration::from_millis(500);

/// An engine, its listener, and what is printed of it.
pub(crate) struct Session {
    pub(crate) engine: EngineHandle,
    pub(crate) events: Subscription,
    pub(crate) report: Report,
    /// The account that the command line means.
    pub(crate) account: AccountId,
    /// Where a person can be asked for logins.
    terminal: Option<Terminal>,
    /// The program that speaks and hears, if one does.
    _pipe: Option<engine::Pipe>,
}

/// The runtime all engines run on.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("engine")
        .enable_all()
        .build()
        .context("the runtime does not start")
}

/// The folders of settings, history and traces.
pub(crate) fn folders(common: &Common) -> anyhow::Result<Folders> {
    match &common.config {
        Some(dir) => Ok(Folders::at(dir.clone())),
        None => Folders::standard()
            .context("this system names no folder for settings; use --config DIR"),
    }
}

/// What the audio arguments mean for calls.
pub(crate) fn call_media(args: &AudioArgs, echo: bool) -> anyhow::Result<CallMedia> {
    if args.audio == Some(AudioWord::Pipe) {
        if args.play.is_some() || args.record.is_some() || echo {
            bail!(
                "with --audio pipe another program speaks and hears: --play, --record and --echo do not go with it"
            );
        }
        return Ok(CallMedia::Devices);
    }
    let scripted = args.play.is_some() || args.record.is_some() || echo;
    let null = match args.audio {
        Some(AudioWord::Null) => true,
        Some(AudioWord::Devices | AudioWord::Pipe) => false,
        None => scripted,
    };
    if !null && !scripted {
        return Ok(CallMedia::Devices);
    }
    let source = match (&args.play, echo, null) {
        (_, true, _) => Source::Echo,
        (Some(file), _, _) => {
            let samples = engine::wav::load(file)?;
            Source::File {
                samples,
                looped: args.looped,
            }
        }
        (None, _, true) => Source::Silence,
        (None, _, false) => Source::Microphone,
    };
    if let Some(file) = &args.record_both {
        may_record(file)?;
    }
    let sink = match (&args.record, null) {
        (Some(file), _) => {
            may_record(file)?;
            Sink::Record(file.clone())
        }
        (None, true) => Sink::Discard,
        (None, false) => Sink::Speaker,
    };
    Ok(CallMedia::PerCall { source, sink })
}

/// What forbids a recording is better said before the call than found out after it.
fn may_record(file: &Path) -> anyhow::Result<()> {
    if file.is_dir() {
        bail!("{} is a folder; a recording needs a file", file.display());
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!("there is no folder {} to record into", folder.display());
    }
    let is_new = !file.exists();
    let mut make = std::fs::OpenOptions::new();
    make.create(true).append(true);
    make.open(file)
        .map_err(|error| words::of_file(file, &error))?;
    if is_new {
        let _ = std::fs::remove_file(file);
    }
    Ok(())
}

/// Standard input speaks and standard output hears from now on; what is told goes to standard error.
pub(crate) fn pipe(engine: &EngineHandle, report: &mut Report) -> anyhow::Result<engine::Pipe> {
    report.leave_output_to_sound()?;
    let pipe = engine.pipe(std::io::stdin(), std::io::stdout())?;
    report.own(
        json!({"event": "sound", "heard_by": "standard output"}),
        || "what is said in calls goes to standard output, and another program speaks".to_owned(),
    );
    Ok(pipe)
}

/// An engine as usual, whose streams take these ports.
pub(crate) fn sound_ports(args: &AudioArgs) -> EngineConfig {
    let usual = EngineConfig::default();
    EngineConfig {
        media_ports: args.rtp_ports.clone().unwrap_or(usual.media_ports.clone()),
        hardware: args.audio != Some(AudioWord::Pipe),
        record_calls: args.record_both.clone(),
        devices: DeviceChoices {
            capture: args.microphone.as_deref().map(DeviceId::new),
            playout: args.speaker.as_deref().map(DeviceId::new),
            ringer: args.ringer.as_deref().map(DeviceId::new),
            tones: args.tones.clone(),
            ..DeviceChoices::default()
        },
        ..usual
    }
}

impl Session {
    /// Starts an engine for one account.
    pub(crate) async fn start(
        common: &Common,
        args: &AccountArgs,
        media: CallMedia,
    ) -> anyhow::Result<Self> {
        Self::start_with(
            common,
            args,
            EngineConfig {
                media,
                ..EngineConfig::default()
            },
        )
        .await
    }

    /// The same with more to say about the engine.
    pub(crate) async fn start_with(
        common: &Common,
        args: &AccountArgs,
        mut config: EngineConfig,
    ) -> anyhow::Result<Self> {
        config.naming = account::naming(args)?;
        config.key_passphrase = account::key_passphrase(args)?;
        config.passphrase = passphrase();
        config.use_settings = false;
        let mut named = None;
        match account::given(args)? {
            // An account given in place needs no settings and leaves none behind. What was said is
            // recorded all the same, where `tipring trace` looks for it.
            Some(given) => {
                config.folders = match &common.config {
                    Some(dir) => Some(Folders::at(dir.clone())),
                    None => Folders::standard().map(Folders::for_traces_only),
                };
                config.given.push(GivenTenant {
                    name: "command line".to_owned(),
                    accounts: vec![given],
                });
            }
            None => {
                let name = args.account.clone().context(
                    "which account? give --account NAME, or --aor sip:you@example.com --password-env VAR",
                )?;
                config.folders = Some(folders(common)?);
                config.use_settings = true;
                config.only_account = Some(name.clone());
                named = Some(name);
            }
        }
        let piped = !config.hardware;
        let engine = Engine::start(config).await?;
        let mut events = engine.subscribe(None);
        let mut report = Report::new(common)?;
        let pipe = if piped {
            Some(pipe(&engine, &mut report)?)
        } else {
            None
        };
        // Who speaks on standard input says no passwords there.
        let mut terminal = if piped { None } else { Terminal::open() };
        if terminal.is_some() {
            report.ask_here();
        }
        let Event::Resync { snapshot } = events.next().await else {
            bail!("the engine did not start");
        };
        report.event(&Event::Resync {
            snapshot: snapshot.clone(),
        });
        if let Some(terminal) = &mut terminal {
            terminal.take(&snapshot.logins);
        }
        let account = match (snapshot.accounts.first(), named) {
            (Some(account), _) => account.id.clone(),
            (None, Some(name)) => bail!("there is no account “{name}”"),
            (None, None) => bail!("the account could not be started"),
        };
        Ok(Self {
            engine,
            events,
            report,
            account,
            terminal,
            _pipe: pipe,
        })
    }

    /// Waits until the account is registered (`true`), or is not going to be: at most so long, which
    /// is said when it is over.
    pub(crate) async fn registered(&mut self, limit: Option<Duration>) -> bool {
        let Some(limit) = limit else {
            return self.settle().await;
        };
        match tokio::time::timeout(limit, self.settle()).await {
            Ok(registered) => registered,
            Err(_) => {
                let text = format!(
                    "The account is not registered after {}: the server has not answered yes or no.",
                    spoken(limit)
                );
                let object = json!({
                    "event": "registration",
                    "account": self.account,
                    "state": "silent",
                    "code": null,
                    "reason": text,
                });
                self.report.own(object, || text.clone());
                false
            }
        }
    }

    async fn settle(&mut self) -> bool {
        let snapshot = self.engine.snapshot();
        let current = snapshot
            .accounts
            .iter()
            .find(|a| a.id == self.account)
            .cloned();
        // What is known already may not have been told yet, and who leaves because of it tells nothing more.
        if let Some(account) = &current {
            let account = Box::new(account.clone());
            self.report.event(&Event::Account { account });
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.take(&snapshot.logins);
        }
        let mut view = current;
        loop {
            let terminal = self.terminal.as_ref();
            match view.as_ref().and_then(settled) {
                // Somebody types the login that is missing.
                Some(false) if terminal.is_some_and(Terminal::may_help) => {}
                Some(done) => return done,
                None => view = None,
            }
            let event = self.next().await;
            if let Event::Account { account } = event
                && account.id == self.account
            {
                view = Some(*account);
            }
        }
    }

    /// The next event, already reported. Logins that a person types meanwhile are given.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            let command = tokio::select! {
                biased;
                event = self.events.next() => {
                    self.report.event(&event);
                    if let Some(terminal) = &mut self.terminal {
                        terminal.on_event(&event);
                    }
                    return event;
                }
                command = answered(self.terminal.as_mut()) => command,
            };
            self.engine.send(command);
        }
    }

    /// Hangs up, signs out, and reports what happens meanwhile; recordings are complete afterwards.
    pub(crate) async fn finish(self) {
        self.finish_within(FAREWELL).await;
    }

    /// The same when nobody is there to take leave of.
    pub(crate) async fn give_up(mut self) {
        self.report.leave();
        self.finish_within(SHORT_FAREWELL).await;
    }

    /// The same for what was about one call or question: signing out is not told, so that the last line is the
    /// one with the reason.
    pub(crate) async fn finish_quietly(mut self) {
        self.report.leave();
        self.finish_within(FAREWELL).await;
    }

    async fn finish_within(mut self, patience: Duration) {
        // Nobody is asked any more.
        self.terminal = None;
        self.engine.send(Command::Shutdown);
        let farewell = async { while self.next().await != Event::Stopped {} };
        let _ = tokio::time::timeout(patience, farewell).await;
        self.report.conclude();
        self.engine.shutdown(SHORT_FAREWELL).await;
    }
}

/// Answers peers that want us to call somebody else, each once.
pub(crate) struct Transfers {
    follow: bool,
    answered: HashSet<CallId>,
    /// Calls that were followed from, until the call that comes of it is there.
    pending: HashSet<CallId>,
}

impl Transfers {
    pub(crate) fn new(follow: bool) -> Self {
        Self {
            follow,
            answered: HashSet::new(),
            pending: HashSet::new(),
        }
    }

    /// What is to be said about the transfer of a call; nothing where none is wanted, or it was said.
    pub(crate) fn on_call(&mut self, call: &CallView) -> Option<Command> {
        let wanted = matches!(call.transfer, Some(Transfer::Wanted { .. }));
        if !wanted {
            self.answered.remove(&call.id);
            self.pending.remove(&call.id);
        }
        // Whoever is followed may hang up before the new call is there.
        if !wanted || !call.state.is_live() {
            return None;
        }
        if !self.answered.insert(call.id) {
            return None;
        }
        if self.follow {
            self.pending.insert(call.id);
        }
        Some(Command::AnswerTransfer {
            call: call.id,
            accept: self.follow,
        })
    }

    /// A call is shown no more: nothing comes of it.
    pub(crate) fn forget(&mut self, call: CallId) {
        self.answered.remove(&call);
        self.pending.remove(&call);
    }

    /// Events were lost: of calls that are shown no more nothing comes.
    pub(crate) fn keep(&mut self, is_shown: impl Fn(CallId) -> bool) {
        self.answered.retain(|call| is_shown(*call));
        self.pending.retain(|call| is_shown(*call));
    }

    /// How many calls are still to come of them.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }
}

/// What a person has typed, where one can be asked.
async fn answered(terminal: Option<&mut Terminal>) -> Command {
    match terminal {
        Some(terminal) => terminal.answered().await,
        None => std::future::pending().await,
    }
}

/// A time as a person says it.
pub(crate) fn spoken(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{} s", time.as_millis() as f64 / 1000.0)
    }
}

/// Whether a registration has come to a result a script can act on.
fn settled(view: &AccountView) -> Option<bool> {
    match view.state {
        RegistrationState::Registered => Some(true),
        // Who signs in nowhere is there once somebody can call.
        RegistrationState::Off if !view.settings.register => view.listening.then_some(true),
        RegistrationState::Refused | RegistrationState::Silent | RegistrationState::Degraded => {
            Some(false)
        }
        RegistrationState::Off | RegistrationState::Trying | RegistrationState::Leaving => None,
    }
}

/// The passphrase of the vault, for machines without a keystore.
pub(crate) fn passphrase() -> Option<secrecy::SecretString> {
    std::env::var("TIPRING_PASSPHRASE")
        .ok()
        .map(secrecy::SecretString::from)
}

/// Resolves when the user or the system wants the program to end.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
