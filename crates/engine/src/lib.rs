//! The actors that join protocol to product.
//!
//! ```text
//! PhoneActor                       root: routes commands by id, keeps restart budgets
//!  ├─ DevicesActor                 device list and choice; opens capture and playout
//!  ├─ StoreActor                   settings, secrets, history
//!  └─ TenantActor × t              the hard boundary of one organisation
//!      ├─ TransportActor           its sockets and connections; stamps time; finds the owner
//!      ├─ RecorderActor            its flight recorder
//!      ├─ AccountActor × n         one registration, over one flow or several
//!      │   └─ SubscriptionsActor   what it learns of others: waiting messages, lamps, presence
//!      ├─ OneShotActor × o         one request outside any dialog, until it is answered
//!      └─ DialogActor × m          one call leg, drained before it ends
//!          └─ StreamActor × k      one RTP stream's reports; the sound itself is in the pump
//! ```
//!
//! Dialogs hang from the tenant and not from their account: a parent's death kills its children, and
//! a fault in a registration must never cut a conversation. Siblings and parents are cast to, never
//! called and waited for. BYE, CANCEL and un-REGISTER are messages; `stop` comes after *drained*.
//!
//! | Child fails | Budget | Then |
//! |---|---|---|
//! | StreamActor | 1 in 10 s | media goes on; past it the figures are missing, the call goes on |
//! | DialogActor | none | the call ends as *internal*; the tenant sends CANCEL, 500 or BYE from the dialog's card |
//! | AccountActor | 3 in 60 s, with back-off and spread | *degraded*, manual retry; calls go on |
//! | SubscriptionsActor | 3 in 60 s, with back-off | everything is asked for again; past it nothing is known of others, and the account stands |
//! | TransportActor | 3 in 15 s | accounts sign in again on the new one, which has the ports of the old; calls keep their dialogs |
//! | RecorderActor, StoreActor | 3 in 15 s | what was in their mailboxes is lost; past it nothing is kept |
//! | DevicesActor | 3 in 15 s | calls go on with a null device and a visible warning |
//! | TenantActor | 3 in 60 s | that tenant only, and the next one ends its calls from their cards; past it it is *degraded* |
//!
//! What clients see of all this is [`model::Event`]s, folded and fanned out by the [`Hub`].

mod account;
mod cards;
mod devices;
mod dialog;
mod drive;
mod failures;
mod hub;
mod identity;
mod lights;
mod logins;
mod mapped;
mod names;
mod network;
mod oneshot;
mod own_headers;
mod passwords;
mod phone;
mod recorder;
mod relay;
mod request;
mod rules;
mod shared;
mod sounds;
mod store;
mod stream;
mod subscriptions;
mod supervise;
mod tenant;
#[cfg(test)]
mod tests;
mod transport;
mod wake;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use media::PumpHandle;
use model::{
    AccountId, AccountSettings, CallId, Command, Event, HistoryEntry, Levels, Login, Notice,
    NoticeLevel, SecretPlace, SecretsView, Sentence, Snapshot, Timestamp, Volume,
};
use ractor::{Actor, ActorRef};
use secrecy::SecretString;
use settings::history::{History, HistoryFilter};
use settings::secrets::{Backend, SecretOptions, SecretStore};
use settings::{DeviceChoices, Folders, Settings};
use thiserror::Error;

pub use self::hub::{Hub, Subscription};
pub use self::identity::{IdentityError, check_target};
pub use self::shared::CallMedia;
pub use self::transport::{HostTable, Naming};
pub use audio::Pipe;
use media::country::{self, Country};
pub use media::{Sink, Source, wav};

use self::devices::{DevicesActor, DevicesArgs, Means, System};
use self::passwords::{Passwords, Wanted};
use self::phone::{PhoneActor, PhoneArgs, PhoneMsg};
use self::shared::{LiveStreams, Pacer, Service, Shared};
use self::sounds::Sounds;
use self::store::{StoreActor, StoreArgs};

/// What a child says when it ends because its work is done.
const DRAINED: &str = "drained";

/// Ports that media may use unless told otherwise.
const MEDIA_PORTS: RangeInclusive<u16> = 16_384..=32_767;

/// How long the store may take to write what it was told.
const FILING: Duration = Duration::from_secs(1);

/// Lines of history that clients get at the start.
const HISTORY_LINES: usize = 500;

/// The wall clock.
fn wall() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// A wall-clock time some way ahead.
fn after(time: Timestamp, wait: Duration) -> Timestamp {
    Timestamp(
        time.0
            .saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)),
    )
}

/// A wall-clock time some way back.
fn before(time: Timestamp, ago: Duration) -> Timestamp {
    Timestamp(
        time.0
            .saturating_sub(i64::try_from(ago.as_micros()).unwrap_or(i64::MAX)),
    )
}

/// How servers that fail are left and gone back to. `None` is the usual time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failover {
    /// How long a registrar may be silent while there is another: 6 s.
    pub patience: Option<Duration>,
    /// How long a server that failed rests at first, doubled with each further failure: 30 s.
    pub first_rest: Option<Duration>,
    /// How long it rests at most: 10 min.
    pub longest_rest: Option<Duration>,
}

/// How an engine is started.
pub struct EngineConfig {
    /// Where settings, secrets, history and traces are; `None` keeps everything in memory.
    pub folders: Option<Folders>,
    /// Whether what is in the folders is used and changed. Off for scripts that bring their account:
    /// then only traces are kept there.
    pub use_settings: bool,
    /// Start only this account of the settings: its id, label or address.
    pub only_account: Option<String>,
    /// Tenants and accounts that come beside the settings and are not kept.
    pub given: Vec<GivenTenant>,
    /// Where the sound of calls comes from and goes to.
    pub media: CallMedia,
    /// How names are found.
    pub naming: Naming,
    /// How servers that fail are left and gone back to.
    pub failover: Failover,
    /// Passphrase of the vault, where there is no keystore.
    pub passphrase: Option<SecretString>,
    /// Passphrase of the keys that `given` accounts name, where they are locked.
    pub key_passphrase: Option<SecretString>,
    /// Ports that media may use.
    pub media_ports: RangeInclusive<u16>,
    /// Whether sound cards are used; off where a program hears and speaks in place of a person
    /// ([`EngineHandle::pipe`]).
    pub hardware: bool,
    /// Devices, volumes and tones for this run, in place of those of the settings where one is named.
    pub devices: DeviceChoices,
    /// Every call is recorded into this file, both sides of it in stereo, from its first sound on; `{call}` in the name
    /// becomes the call's number.
    pub record_calls: Option<PathBuf>,
    /// How long a call may ring, either way; `None` is the usual three minutes.
    pub ring_limit: Option<Duration>,
    /// Whether callers hear what each call sends before it is taken: an announcement (183, RFC 3960 §3). Only where
    /// calls have sound of their own: nobody is heard through a microphone before they pick up.
    pub announce: bool,
    /// How long a question to a peer ([`Command::SendOptions`]) waits for its answer; `None` is the
    /// usual 32 seconds (RFC 3261 §17.1.2.2, Timer F).
    pub ask_limit: Option<Duration>,
    /// Whether changes of the machine's network, and its sleep, are noticed and followed.
    pub watch_network: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            folders: None,
            use_settings: true,
            only_account: None,
            given: Vec::new(),
            media: CallMedia::default(),
            naming: Naming::default(),
            failover: Failover::default(),
            passphrase: None,
            key_passphrase: None,
            media_ports: MEDIA_PORTS,
            hardware: true,
            devices: DeviceChoices::default(),
            record_calls: None,
            ring_limit: None,
            announce: false,
            ask_limit: None,
            watch_network: true,
        }
    }
}

/// A tenant that is given and not kept.
#[derive(Clone, Debug)]
pub struct GivenTenant {
    /// Its name.
    pub name: String,
    /// Its accounts.
    pub accounts: Vec<GivenAccount>,
}

/// An account that is given and not kept.
#[derive(Clone, Debug)]
pub struct GivenAccount {
    /// Its settings.
    pub settings: AccountSettings,
    /// Its password.
    pub password: Option<SecretString>,
    /// The password for the relay of its media, where the settings name another user there.
    pub relay_password: Option<SecretString>,
    /// The passwords of further logins. Each is one of the settings, too.
    pub logins: Vec<(Login, SecretString)>,
}

/// Why an engine did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The media thread.
    #[error("the media thread does not start: {0}")]
    Media(#[from] media::MediaError),
    /// An actor.
    #[error("the engine does not start: {0}")]
    Actor(#[from] ractor::SpawnErr),
}

/// Whether settings can be used.
///
/// # Errors
/// Which setting cannot, and what a good value looks like.
pub fn check_account(settings: &AccountSettings) -> Result<(), IdentityError> {
    identity::check(settings)
}

/// Checks the letters of a country whose tones are to be heard, in any case; empty ones are those of most of Europe.
///
/// # Errors
/// A sentence with the countries that there are; without a full stop.
pub fn check_tones(code: &str) -> Result<(), String> {
    if Country::of(code).is_some() {
        return Ok(());
    }
    let known = country::ALL.iter().map(|country| country.code);
    let known: Vec<&str> = known.filter(|code| !code.is_empty()).collect();
    Err(format!(
        "the tones of “{code}” are not known; there are those of {}",
        known.join(", ")
    ))
}

/// Starts engines.
pub struct Engine;

impl Engine {
    /// Starts all actors. Needs a tokio runtime, and uses no more than its threads, one for media,
    /// and those that devices and files need.
    ///
    /// # Errors
    /// When not even the root could be started; everything else is a notice, and the rest goes on.
    pub async fn start(config: EngineConfig) -> Result<EngineHandle, StartError> {
        let hub = Hub::new();
        let pump = PumpHandle::start()?;
        let Files {
            stored,
            history,
            recent,
            secrets,
        } = open_files(&config).await;
        let mut settings = stored.settings;
        for problem in stored.problems {
            notice(&hub, problem.to_string());
        }
        if let Some(name) = &config.only_account {
            keep_only(&mut settings, name);
        }
        let mut passwords = read_passwords(&hub, &secrets, &settings).await;
        if config.use_settings {
            publish_secrets(&hub, &secrets);
        }
        // Given accounts come after the settings are split off for saving.
        let save_to =
            config.use_settings && config.only_account.is_none() && config.given.is_empty();
        let save_to = config
            .folders
            .as_ref()
            .filter(|_| save_to)
            .map(|f| f.config().to_owned());
        let key = config.key_passphrase.as_ref();
        add_given(&mut settings, config.given, &mut passwords, key);

        recent
            .into_iter()
            .rev()
            .for_each(|entry| hub.publish(Event::History { entry }));
        let store_args = StoreArgs {
            hub: Arc::clone(&hub),
            history,
        };
        let (store, _) = Actor::spawn(None, StoreActor, store_args.clone()).await?;
        let (chosen, stored) = (config.devices, &settings.devices);
        let hardware = config.hardware && config.media.uses_devices();
        // A program that hears and speaks in place of a person is heard as it comes.
        let of_person = |volume: Option<Volume>| volume.filter(|_| hardware);
        let devices_args = DevicesArgs {
            hub: Arc::clone(&hub),
            means: Means {
                sound: Arc::new(System),
                pump: pump.clone(),
                patience: audio::PATIENCE,
            },
            hardware,
            capture: chosen.capture.or_else(|| stored.capture.clone()),
            playout: chosen.playout.or_else(|| stored.playout.clone()),
            ringer: chosen.ringer.or_else(|| stored.ringer.clone()),
            speaker_volume: (chosen.speaker_volume)
                .or_else(|| of_person(stored.speaker_volume))
                .unwrap_or_default(),
            microphone_gain: (chosen.microphone_gain)
                .or_else(|| of_person(stored.microphone_gain))
                .unwrap_or_default(),
            tones: chosen.tones.or_else(|| stored.tones.clone()),
        };
        let tones = devices_args.tones.as_deref();
        if let Some(Err(why)) = tones.map(check_tones) {
            notice(
                &hub,
                format!("Those of the system's language are heard: {why}."),
            );
        }
        let (devices, _) = Actor::spawn(None, DevicesActor, devices_args.clone()).await?;
        let announce = config.announce && matches!(config.media, CallMedia::PerCall { .. });
        let shared = Arc::new(Shared {
            hub: Arc::clone(&hub),
            pump: pump.clone(),
            store: Service::new(store.clone()),
            devices: Service::new(devices.clone()),
            live: LiveStreams::default(),
            capabilities: subscriptions::told(dialog::capabilities()),
            instance_id: instance_id(config.folders.as_ref()),
            naming: config.naming,
            failover: config.failover,
            trace_dir: config.folders.as_ref().map(Folders::trace_dir),
            recordings: config.folders.as_ref().map(Folders::recordings_dir),
            record_calls: config.record_calls,
            media_ports: config.media_ports,
            call_media: config.media,
            ring_limit: config.ring_limit,
            announce,
            ask_limit: config.ask_limit,
            stateless: shared::seed(),
            sounds: Sounds::default(),
            failing: mapped::Failing::default(),
            pacer: Pacer::new(subscriptions::APART),
            calls: AtomicU64::new(0),
            conferences: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            left: AtomicBool::new(false),
        });
        let args = PhoneArgs {
            shared: Arc::clone(&shared),
            devices,
            store,
            devices_args,
            store_args,
            settings,
            save_to,
            secrets,
            passwords,
        };
        let (phone, running) = Actor::spawn(None, PhoneActor, args).await?;
        if config.watch_network {
            let told = phone.clone();
            let tell = move |moved| told.cast(PhoneMsg::Moved(moved)).is_ok();
            tokio::spawn(network::watch(tell));
        }
        let task = tokio::spawn(tell_the_end(Arc::clone(&shared), running));
        Ok(EngineHandle {
            hub,
            phone,
            shared,
            pump,
            task: Some(task),
        })
    }
}

/// A running engine. Dropping it does not end it; [`Command::Shutdown`] does.
pub struct EngineHandle {
    hub: Arc<Hub>,
    phone: ActorRef<PhoneMsg>,
    shared: Arc<Shared>,
    pump: PumpHandle,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl EngineHandle {
    /// Lets a program hear and speak in place of a person at sound cards: for captions, agents and tests. What it
    /// writes, 16 bits little-endian at 48 kHz, is said in the calls that are up; what they say it can read.
    ///
    /// # Errors
    /// When the system gives no thread for it.
    pub fn pipe(
        &self,
        input: impl std::io::Read + Send + 'static,
        output: impl std::io::Write + Send + 'static,
    ) -> Result<audio::Pipe, audio::AudioError> {
        audio::pipe(input, output, &self.pump)
    }

    /// Asks for something. Never waits; what comes of it are events.
    pub fn send(&self, command: Command) {
        // An engine that has ended has said so to its listeners.
        let _ = self.phone.cast(PhoneMsg::Command(command));
    }

    /// A way to send commands that can be cloned and moved to other threads.
    pub fn sender(&self) -> CommandSender {
        CommandSender(self.phone.clone())
    }

    /// A new listener; `waker` is called whenever something has arrived for it.
    pub fn subscribe(&self, waker: Option<Box<dyn Fn() + Send + Sync>>) -> Subscription {
        self.hub.subscribe(waker)
    }

    /// The state as of now.
    pub fn snapshot(&self) -> Snapshot {
        self.hub.snapshot()
    }

    /// The hub, for those who serve other clients.
    pub fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    /// Levels of a call at this moment; read from atomics, fit for every frame.
    pub fn levels(&self, call: CallId) -> Levels {
        self.shared.live.levels(call)
    }

    /// Levels of the devices at this moment, whoever uses them.
    pub fn device_levels(&self) -> Levels {
        let counters = self.pump.counters();
        Levels {
            capture: counters.capture_level(),
            playout: counters.playout_level(),
        }
    }

    /// Hangs up, signs out, and waits for the end, at most so long.
    pub async fn shutdown(mut self, patience: Duration) {
        self.send(Command::Shutdown);
        if let Some(task) = self.task.take() {
            let _ = tokio::time::timeout(patience, task).await;
        }
        self.shared.store.drain(FILING).await;
        self.pump.shutdown();
    }
}

/// Sends commands to an engine.
#[derive(Clone)]
pub struct CommandSender(ActorRef<PhoneMsg>);

impl CommandSender {
    /// Asks for something, as [`EngineHandle::send`].
    pub fn send(&self, command: Command) {
        let _ = self.0.cast(PhoneMsg::Command(command));
    }
}

/// Waits for the root to end, and says so to all clients: an actor that fails can say nothing itself.
async fn tell_the_end(shared: Arc<Shared>, running: tokio::task::JoinHandle<()>) {
    let _ = running.await;
    if !shared.left.load(Ordering::Acquire) {
        shared.fail_calls(|_| true, "the root of the engine");
        let text = "The engine failed inside and has stopped; start the program again.".to_owned();
        let notice = Notice {
            time: wall(),
            level: NoticeLevel::Error,
            tenant: None,
            text: text.into(),
        };
        shared.hub.publish(Event::Notice { notice });
    }
    shared.hub.publish(Event::Stopped);
}

/// What was read from disk.
struct Files {
    stored: settings::Loaded,
    history: History,
    /// The newest lines of the history, newest first.
    recent: Vec<HistoryEntry>,
    secrets: SecretStore,
}

/// Reads everything from disk, on a thread that may block.
async fn open_files(config: &EngineConfig) -> Files {
    let folders = config.folders.clone().filter(|_| config.use_settings);
    let passphrase = config.passphrase.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let Some(folders) = folders else {
            return nothing_kept();
        };
        let history = History::open(&folders.history_file());
        let filter = HistoryFilter {
            limit: HISTORY_LINES,
            ..HistoryFilter::default()
        };
        let mut options = SecretOptions::new(&folders);
        options.passphrase = passphrase;
        Files {
            stored: Settings::load(folders.config()),
            recent: history.query(filter).unwrap_or_default(),
            history,
            secrets: SecretStore::open(options),
        }
    });
    opened.await.unwrap_or_else(|_| nothing_kept())
}

fn nothing_kept() -> Files {
    let options = SecretOptions {
        service: String::new(),
        vault_file: PathBuf::new(),
        passphrase: None,
        use_keystore: false,
    };
    Files {
        stored: settings::Loaded {
            settings: Settings::default(),
            problems: Vec::new(),
        },
        history: History::in_memory(),
        recent: Vec::new(),
        secrets: SecretStore::open(options),
    }
}

async fn read_passwords(
    hub: &Arc<Hub>,
    secrets: &SecretStore,
    settings: &Settings,
) -> HashMap<AccountId, Passwords> {
    let wanted = Wanted::of_all(settings);
    if wanted.is_empty() {
        return HashMap::new();
    }
    let store = secrets.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut found = HashMap::new();
        let mut trouble = None;
        for wanted in wanted {
            let (passwords, error) = wanted.read(&store);
            trouble = error.map(|error| error.to_string()).or(trouble);
            if !passwords.is_empty() {
                found.insert(wanted.account, passwords);
            }
        }
        (found, trouble.or_else(|| store.sentence()))
    });
    let (found, trouble) = read.await.unwrap_or_default();
    if let Some(trouble) = trouble {
        notice(hub, trouble);
    }
    found
}

/// Leaves only the account that was named.
fn keep_only(settings: &mut Settings, name: &str) {
    let bare = |aor: &str| aor.split_once(':').map_or(aor, |(_, rest)| rest).to_owned();
    for tenant in &mut settings.tenants {
        tenant.accounts.retain(|account| {
            account.id.as_str() == name
                || account.settings.label == name
                || account.settings.aor == *name
                || bare(account.settings.aor.reveal()) == name
        });
    }
    settings
        .tenants
        .retain(|tenant| !tenant.accounts.is_empty());
}

fn add_given(
    settings: &mut Settings,
    given: Vec<GivenTenant>,
    passwords: &mut HashMap<AccountId, Passwords>,
    key_passphrase: Option<&SecretString>,
) {
    for tenant in given {
        let id = settings.fresh_tenant_id(&tenant.name);
        let colour = u8::try_from(settings.tenants.len() % 8).unwrap_or(0);
        settings
            .tenants
            .push(settings::Tenant::new(id.clone(), tenant.name, colour));
        for account in tenant.accounts {
            let account_id = settings.fresh_account_id(account.settings.aor.reveal());
            if let Some(entry) = settings.tenant_mut(&id) {
                entry
                    .accounts
                    .push(settings::Account::new(account_id.clone(), account.settings));
            }
            let given = Passwords {
                own: account.password,
                key: key_passphrase.cloned(),
                relay: account.relay_password,
                logins: account.logins,
            };
            passwords.insert(account_id, given);
        }
    }
}

/// `urn:uuid:…` of this installation: kept in a file of its own so that a registrar recognises the
/// phone after a restart; made anew where nothing is kept (RFC 5626 §4.1).
fn instance_id(folders: Option<&Folders>) -> String {
    let fresh = || {
        let mut bytes = [0_u8; 16];
        shared::fill(&mut bytes);
        // Version 4, variant 1 (RFC 9562 §5.4).
        bytes[6] = bytes[6] & 0x0F | 0x40;
        bytes[8] = bytes[8] & 0x3F | 0x80;
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        format!(
            "urn:uuid:{}-{}-{}-{}-{}",
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..]
        )
    };
    let Some(folders) = folders else {
        return fresh();
    };
    folders.instance_id(fresh)
}

/// Tells where passwords go, and whether an encrypted file waits for its passphrase.
fn publish_secrets(hub: &Hub, secrets: &SecretStore) {
    let place = match secrets.backend() {
        Backend::Keystore => SecretPlace::Keystore,
        Backend::Vault => SecretPlace::Vault,
        Backend::SessionOnly => SecretPlace::Session,
    };
    let secrets = SecretsView {
        place,
        sentence: secrets.sentence().map(Into::into),
        locked: place == SecretPlace::Session && secrets.has_vault_file(),
    };
    hub.publish(Event::Secrets { secrets });
}

fn notice(hub: &Hub, text: impl Into<Sentence>) {
    let notice = Notice {
        time: wall(),
        level: NoticeLevel::Warning,
        tenant: None,
        text: text.into(),
    };
    hub.publish(Event::Notice { notice });
}
