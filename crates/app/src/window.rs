//! The window: eframe's side of `ui`, and what it and the engine say to each other.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail};
use control::Client;
use eframe::egui;
use engine::{Engine, EngineConfig, EngineHandle, Subscription};
use model::{CallId, Event, Levels, Notice, NoticeLevel, Preferences, Timestamp};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use ui::{Action, Live, ViewState};

use crate::Outcome;
use crate::call_log::CallLog;
use crate::cli::Common;
use crate::demo::Demo;
use crate::front::Front;
use crate::headless::{Serving, Show, serve};
use crate::icon::icon;
use crate::session::{folders, passphrase, runtime};

/// Size of a first start, in points.
const WIDE: [f32; 2] = [1100.0, 700.0];
/// The smallest size that is designed for.
const COMPACT: [f32; 2] = [360.0, 560.0];
/// Widest texture. The letters stand in one that is as wide as it may be and grows downwards; at the width
/// that drivers allow its first line alone is two megabytes, here and in the driver.
const TEXTURE: usize = 2048;
/// How long a running Tipring may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long hanging up and signing out may take when the window is closed.
const FAREWELL: Duration = Duration::from_secs(5);

/// Opens the window and stays until it is closed.
///
/// With a link, what it says stands in the number field: of the window that is there already, if one is.
pub(crate) fn run(
    common: &Common,
    demo: bool,
    link: Option<String>,
    began: Instant,
) -> anyhow::Result<Outcome> {
    if !has_display() {
        bail!(
            "there is no display for the window (DISPLAY and WAYLAND_DISPLAY are empty); `tipring headless` runs without one"
        );
    }
    let call_log = common.events.as_deref().map(CallLog::open).transpose()?;
    let runtime = runtime()?;
    let Some(started) = runtime.block_on(start(common, demo, link))? else {
        return Ok(Outcome::Done);
    };
    let options = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title("Tipring")
            .with_app_id("tipring")
            // Without one of ours the toolkit decodes and keeps its own, which takes a megabyte.
            .with_icon(Arc::new(icon()))
            .with_inner_size(WIDE)
            .with_min_inner_size(COMPACT),
        ..eframe::NativeOptions::default()
    };
    eframe::run_native(
        "Tipring",
        options,
        Box::new(move |creation| {
            let mut app = App::new(&creation.egui_ctx, runtime, started, began);
            app.call_log = call_log;
            Ok(Box::new(app))
        }),
    )
    .map_err(|error| anyhow::anyhow!("the window does not open: {error}"))?;
    Ok(Outcome::Done)
}

/// Whether there is a display to open a window on.
pub(crate) fn has_display() -> bool {
    if cfg!(any(target_os = "macos", target_os = "windows")) {
        return true;
    }
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|v| !v.is_empty()))
}

/// What runs behind the window.
struct Started {
    engine: EngineHandle,
    demo: Option<Demo>,
    _serving: Option<Serving>,
    /// Where a second start finds the window.
    front: Arc<Front>,
    notices: Vec<Notice>,
}

/// Starts what runs behind the window; nothing when another window with these settings is there.
async fn start(
    common: &Common,
    demo: bool,
    link: Option<String>,
) -> anyhow::Result<Option<Started>> {
    let front = Arc::new(Front::default());
    front.show(link.clone());
    if demo {
        let demo = Demo::start().await?;
        let engine = Engine::start(demo.engine_config()).await?;
        return Ok(Some(Started {
            engine,
            demo: Some(demo),
            _serving: None,
            front,
            notices: Vec::new(),
        }));
    }
    let folders = folders(common)?;
    // A second window on the same settings would undo what the first one saves.
    let socket = folders.control_socket();
    let server = match control::Server::bind(&socket) {
        Ok(server) => Ok(server),
        Err(control::BindError::AlreadyRunning) => {
            show_the_other(&socket, link).await?;
            return Ok(None);
        }
        Err(error) => Err(error.to_string()),
    };
    let config = EngineConfig {
        folders: Some(folders),
        passphrase: passphrase(),
        ..EngineConfig::default()
    };
    let engine = Engine::start(config).await?;
    let mut notices = Vec::new();
    let serving = match server {
        Ok(server) => Some(serve(&engine, server, Show::Window(Arc::clone(&front)))),
        Err(why) => {
            notices.push(Notice {
                time: now(),
                level: NoticeLevel::Warning,
                tenant: None,
                text: format!("The command line cannot reach this window: {why}.").into(),
            });
            None
        }
    };
    Ok(Some(Started {
        engine,
        demo: None,
        _serving: serving,
        front,
        notices,
    }))
}

/// Asks the program that runs with the same settings to come to the front, and says so.
async fn show_the_other(socket: &Path, link: Option<String>) -> anyhow::Result<()> {
    let params = link.map(|link| ("dial".to_owned(), Value::String(link)));
    let asking = async {
        let mut client = Client::connect(socket).await?;
        client.call("show_window", Map::from_iter(params)).await
    };
    let answer = tokio::time::timeout(PATIENCE, asking)
        .await
        .map_err(|_| anyhow::anyhow!("Tipring is already running, and does not answer"))?
        .context("Tipring is already running, and its window could not be shown")?;
    if answer.get("window") != Some(&Value::Bool(true)) {
        bail!(
            "Tipring is already running with these settings, without a window; end it first (`tipring ctl shutdown`), or give another folder with --config"
        );
    }
    println!("Tipring is already running; its window was brought to the front.");
    Ok(())
}

struct App {
    runtime: Arc<Runtime>,
    started: Option<Started>,
    events: Subscription,
    call_log: Option<CallLog>,
    state: ViewState,
    installed: Preferences,
    /// When the program began, until it was told how long the first frame took.
    began: Option<Instant>,
    /// Whether the first frame was put together.
    drawn: bool,
}

impl App {
    fn new(context: &egui::Context, runtime: Runtime, started: Started, began: Instant) -> Self {
        started.front.open(context);
        let wake = context.clone();
        let events = started
            .engine
            .subscribe(Some(Box::new(move || wake.request_repaint())));
        let mut state = ViewState::default();
        for notice in &started.notices {
            ui::apply(
                &mut state,
                Event::Notice {
                    notice: notice.clone(),
                },
            );
        }
        if let Some(demo) = &started.demo {
            state.window.suggestions = demo.suggestions();
        }
        let installed = Preferences::default();
        ui::install(context, &installed);
        Self {
            runtime: Arc::new(runtime),
            started: Some(started),
            events,
            call_log: None,
            state,
            installed,
            began: Some(began),
            drawn: false,
        }
    }

    /// Folds in what has happened since the last frame.
    fn take_events(&mut self, context: &egui::Context) {
        while let Some(event) = self.events.try_next() {
            if let Some(log) = &mut self.call_log {
                log.event(&event);
            }
            ui::apply(&mut self.state, event);
        }
        let dial = self.started.as_ref().and_then(|s| s.front.take_dial());
        if let Some(dial) = dial {
            self.state.window.screen = ui::Screen::Phone;
            self.state.window.dial = dial;
        }
        self.state.utc_offset_s = utc_offset_s();
        let wanted = self.state.data.preferences;
        if wanted != self.installed {
            ui::install(context, &wanted);
            self.installed = wanted;
        }
    }

    fn act(&mut self, context: &egui::Context, action: Action) {
        match action {
            Action::Command(command) => {
                if let Some(started) = &self.started {
                    started.engine.send(command);
                }
            }
            Action::StartDemo => self.start_demo(context),
        }
    }

    /// Adds the demonstration's accounts to this window, on a switchboard of its own.
    fn start_demo(&mut self, context: &egui::Context) {
        let Some(old) = self.started.take() else {
            return;
        };
        let runtime = Arc::clone(&self.runtime);
        let result = runtime.block_on(async {
            let demo = Demo::start().await?;
            let engine = Engine::start(demo.engine_config()).await?;
            anyhow::Ok(Started {
                engine,
                demo: Some(demo),
                _serving: None,
                front: Arc::new(Front::default()),
                notices: Vec::new(),
            })
        });
        match result {
            Ok(started) => {
                let wake = context.clone();
                self.events = started
                    .engine
                    .subscribe(Some(Box::new(move || wake.request_repaint())));
                self.state.window.suggestions = started
                    .demo
                    .as_ref()
                    .map_or_else(Vec::new, Demo::suggestions);
                self.started = Some(started);
                runtime.spawn(old.engine.shutdown(FAREWELL));
            }
            Err(error) => {
                self.started = Some(old);
                let notice = Notice {
                    time: now(),
                    level: NoticeLevel::Error,
                    tenant: None,
                    text: format!("The switchboard does not start: {error:#}.").into(),
                };
                ui::apply(&mut self.state, Event::Notice { notice });
            }
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, context: &egui::Context, _frame: &mut eframe::Frame) {
        if self.drawn
            && let Some(began) = self.began.take()
        {
            let ms = began.elapsed().as_millis();
            tracing::debug!(target: "window", "the first frame is drawn, {ms} ms after the start");
        }
        self.take_events(context);
    }

    fn raw_input_hook(&mut self, _context: &egui::Context, input: &mut egui::RawInput) {
        input.max_texture_side = Some(input.max_texture_side.unwrap_or(TEXTURE).min(TEXTURE));
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let levels: HashMap<CallId, Levels> = match &self.started {
            Some(started) => self
                .state
                .data
                .calls
                .iter()
                .filter(|call| call.state.is_live())
                .map(|call| (call.id, started.engine.levels(call.id)))
                .collect(),
            None => HashMap::new(),
        };
        let live = Live {
            now: now(),
            levels: &|call| levels.get(&call).copied().unwrap_or_default(),
            devices: self
                .started
                .as_ref()
                .map(|started| started.engine.device_levels())
                .unwrap_or_default(),
        };
        let actions = ui::show(ui, &mut self.state, &live);
        let context = ui.ctx().clone();
        actions
            .into_iter()
            .for_each(|action| self.act(&context, action));
        if self.began.is_some() && !self.drawn {
            self.drawn = true;
            // What is to be drawn is known now; when it is asked again, it has been drawn.
            context.request_repaint();
        }
        if let Some(wait) = ui::next_repaint(&self.state, now()) {
            context.request_repaint_after(wait);
        }
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        if let Some(started) = self.started.take() {
            // The window is gone already; what is left is politeness towards peers.
            let Started { engine, demo, .. } = started;
            self.runtime.block_on(engine.shutdown(FAREWELL));
            drop(demo);
        }
    }
}

/// Seconds that the clock on the wall is ahead of UTC; it changes twice a year in many places.
fn utc_offset_s() -> i32 {
    let zone = jiff::tz::TimeZone::system();
    zone.to_offset(jiff::Timestamp::now()).seconds()
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}
