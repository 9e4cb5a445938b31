//! Settings, secrets and history: everything that outlives the program, behind one mailbox.

use std::path::PathBuf;
use std::sync::Arc;

use model::{Event, HistoryEntry, Notice, NoticeLevel, QualityTrend, TenantId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use settings::Settings;
use settings::history::History;

use crate::hub::Hub;
use crate::wall;

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
        };
        state.report(state.told.clone());
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
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
                // Disks stall; a thread that may block is the place for it.
                let saved = tokio::task::spawn_blocking(move || settings.save(&dir)).await;
                let trouble = match saved {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(format!("The settings could not be saved: {error}.")),
                    Err(_) => {
                        Some("The settings could not be saved: the writer failed.".to_owned())
                    }
                };
                state.report(trouble);
            }
        }
        Ok(())
    }
}

impl StoreState {
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
