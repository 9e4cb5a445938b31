//! Settings, secrets and history: everything that outlives the program, behind one mailbox.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{Event, HistoryEntry, Notice, NoticeLevel, QualityTrend, TenantId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use settings::Settings;
use settings::history::History;

use crate::hub::Hub;
use crate::wall;

/// How long settings that are to be saved [soon](StoreMsg::SaveSoon) wait for more changes.
const SOON: Duration = Duration::from_secs(1);

/// What a [`StoreActor`] can be told.
pub(crate) enum StoreMsg {
    /// Keep a finished call, and how it sounded.
    File(Box<HistoryEntry>, QualityTrend),
    /// Tell how a finished call sounded.
    ReadQuality(i64),
    /// Forget the history of a tenant.
    ClearHistory(TenantId),
    /// Fail, so that the supervisor's answer can be seen.
    #[cfg(test)]
    Crash,
    /// Keep the settings as they are now.
    Save {
        /// In which folder.
        dir: PathBuf,
        /// All of them.
        settings: Box<Settings>,
    },
    /// The same within a second, and once for all that comes until then.
    SaveSoon {
        /// In which folder.
        dir: PathBuf,
        /// All of them.
        settings: Box<Settings>,
    },
    /// That second is over.
    Soon,
}

/// Owns the files.
pub(crate) struct StoreActor;

/// What a [`StoreActor`] is started with.
#[derive(Clone)]
pub(crate) struct StoreArgs {
    pub(crate) hub: Arc<Hub>,
    pub(crate) history: History,
}

pub(crate) struct StoreState {
    hub: Arc<Hub>,
    history: History,
    /// The last trouble that was told.
    told: Option<String>,
    /// What waits to be saved, and in which folder.
    waiting: Option<(PathBuf, Box<Settings>)>,
}

impl Actor for StoreActor {
    type Msg = StoreMsg;
    type State = StoreState;
    type Arguments = StoreArgs;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        args: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let told = args.history.trouble();
        let state = StoreState {
            hub: args.hub,
            history: args.history,
            told,
            waiting: None,
        };
        state.report(state.told.clone());
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            StoreMsg::File(entry, trend) => {
                match state.history.add(*entry, trend) {
                    Ok(entry) => state.hub.publish(Event::History { entry }),
                    Err(error) => state.report(Some(format!("A call was not filed: {error}."))),
                }
                let trouble = state.history.trouble();
                if trouble != state.told {
                    state.told.clone_from(&trouble);
                    state.report(trouble);
                }
            }
            StoreMsg::ReadQuality(entry) => {
                let history = state.history.clone();
                let read = tokio::task::spawn_blocking(move || history.trend(entry)).await;
                match read {
                    Ok(Ok(trend)) => state.hub.publish(Event::Quality { entry, trend }),
                    Ok(Err(error)) => state.report(Some(format!("{error}."))),
                    Err(_) => state.report(Some("The history could not be read.".to_owned())),
                }
            }
            StoreMsg::ClearHistory(tenant) => match state.history.clear(&tenant) {
                Ok(()) => state.hub.publish(Event::HistoryCleared { tenant }),
                Err(error) => state.report(Some(format!("The history was not cleared: {error}."))),
            },
            #[cfg(test)]
            StoreMsg::Crash => panic!("told to fail"),
            StoreMsg::Save { dir, settings } => {
                state.waiting = Some((dir, settings));
                state.save().await;
            }
            StoreMsg::SaveSoon { dir, settings } => {
                if state.waiting.replace((dir, settings)).is_none() {
                    myself.send_after(SOON, || StoreMsg::Soon);
                }
            }
            StoreMsg::Soon => state.save().await,
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Self::Msg>,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        state.save().await;
        Ok(())
    }
}

impl StoreState {
    /// Saves what waits for it. It may have been saved with something else already.
    async fn save(&mut self) {
        let Some((dir, settings)) = self.waiting.take() else {
            return;
        };
        // Disks stall; a thread that may block is the place for it.
        let saved = tokio::task::spawn_blocking(move || settings.save(&dir)).await;
        let trouble = match saved {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("The settings could not be saved: {error}.")),
            Err(_) => Some("The settings could not be saved: the writer failed.".to_owned()),
        };
        self.report(trouble);
    }

    fn report(&self, trouble: Option<String>) {
        if let Some(text) = trouble {
            let notice = Notice {
                time: wall(),
                level: NoticeLevel::Warning,
                tenant: None,
                text: text.into(),
            };
            self.hub.publish(Event::Notice { notice });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use model::Volume;

    /// A store, and the folder that it saves in.
    async fn store(name: &str) -> (ActorRef<StoreMsg>, PathBuf) {
        let dir = format!("tipring-store-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(dir);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder can be made");
        let args = StoreArgs {
            hub: Hub::new(),
            history: History::in_memory(),
        };
        let started = Actor::spawn(None, StoreActor, args).await;
        (started.expect("it starts").0, dir)
    }

    fn settings(speaker: i64) -> Box<Settings> {
        let mut settings = Settings::default();
        settings.devices.speaker_volume = Some(Volume::nearest(speaker));
        Box::new(settings)
    }

    fn kept(dir: &Path) -> Option<u8> {
        let volume = Settings::load(dir).settings.devices.speaker_volume;
        volume.map(Volume::percent)
    }

    fn soon(store: &ActorRef<StoreMsg>, dir: &Path, speaker: i64) {
        let (dir, settings) = (dir.to_owned(), settings(speaker));
        let told = store.cast(StoreMsg::SaveSoon { dir, settings });
        told.expect("it listens");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_saved_soon_is_saved_once_a_second_and_as_it_is_then() {
        let (store, dir) = store("soon").await;
        let began = tokio::time::Instant::now();
        let mut seen = Vec::new();
        // A slider on its way for two seconds and a half.
        for step in 0..50 {
            soon(&store, &dir, step);
            tokio::time::sleep(Duration::from_millis(50)).await;
            seen.push(kept(&dir));
        }
        seen.dedup();
        println!("{seen:?} in {:?}", began.elapsed());
        assert_eq!(seen.first(), Some(&None), "not with the first step");
        assert_eq!(seen.len(), 3, "nothing, and twice something: {seen:?}");
        tokio::time::sleep(SOON).await;
        while kept(&dir) != Some(49) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(began.elapsed() < SOON * 10, "the last step is not kept");
        }
        store.stop(None);
        std::fs::remove_dir_all(&dir).expect("it is ours");
    }

    #[tokio::test]
    async fn what_waits_to_be_saved_is_saved_at_the_end_and_with_anything_else() {
        let (store, dir) = store("end").await;
        soon(&store, &dir, 10);
        let all = StoreMsg::Save {
            dir: dir.clone(),
            settings: settings(20),
        };
        store.cast(all).expect("it listens");
        soon(&store, &dir, 30);
        let patience = Some(Duration::from_secs(20));
        store.drain_and_wait(patience).await.expect("it ends");
        assert_eq!(kept(&dir), Some(30));
        std::fs::remove_dir_all(&dir).expect("it is ours");
    }
}
