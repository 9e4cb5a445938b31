//! Where events meet their listeners.
//!
//! Every actor publishes here. The hub folds each event into its own [`Snapshot`] and puts it into
//! each listener's bounded queue. A listener that falls behind loses the queue, not the truth: its
//! next event is a [`Event::Resync`] with the whole state.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use model::{CallId, Event, QuestionId, Snapshot};
use tokio::sync::Notify;

/// How many events wait for one listener before it is told to start over.
const QUEUE_LIMIT: usize = 1_024;

/// How many bytes of recorded messages may wait among them.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Ended calls that stay in view until they are put away; the history has them all.
const ENDED_CALLS: usize = 100;

/// The meeting place of events and listeners.
pub struct Hub {
    inner: Mutex<Inner>,
    /// How many questions for logins were asked.
    questions: AtomicU64,
}

struct Inner {
    state: Snapshot,
    listeners: Vec<Weak<Queue>>,
}

impl Inner {
    fn hand_out(&mut self, event: Event, reached: &mut Vec<Arc<Queue>>) {
        self.state.apply(&event);
        reached.clear();
        self.listeners.retain(|listener| match listener.upgrade() {
            Some(queue) => {
                queue.push(event.clone());
                reached.push(queue);
                true
            }
            None => false,
        });
    }

    /// The oldest ended call when there are more of them than anybody looks at.
    fn surplus_call(&self) -> Option<CallId> {
        let mut ended = self.state.calls.iter().filter(|call| !call.state.is_live());
        let oldest = ended.next()?.id;
        (ended.count() >= ENDED_CALLS).then_some(oldest)
    }
}

struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    waker: Option<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// Bytes of recorded messages in them.
    bytes: usize,
    /// Set when events were dropped; cleared by handing out a [`Event::Resync`].
    behind: bool,
}

impl Hub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                state: Snapshot::default(),
                listeners: Vec::new(),
            }),
            questions: AtomicU64::new(0),
        })
    }

    /// The number of a question for a login that is asked now.
    pub(crate) fn next_question(&self) -> QuestionId {
        QuestionId(self.questions.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Folds an event in and hands it to every listener. Never waits.
    pub(crate) fn publish(&self, event: Event) {
        let mut reached = Vec::new();
        {
            let mut inner = lock(&self.inner);
            inner.hand_out(event, &mut reached);
            // A phone that runs for weeks does not show every call it ever had.
            while let Some(call) = inner.surplus_call() {
                inner.hand_out(Event::CallRemoved { call }, &mut reached);
            }
        }
        // Wakers belong to others and may take locks of their own.
        reached.iter().for_each(|queue| queue.wake());
    }

    /// The state as of now.
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.inner).state.clone()
    }

    /// Reads something of the state without copying all of it.
    pub fn read<R>(&self, look: impl FnOnce(&Snapshot) -> R) -> R {
        look(&lock(&self.inner).state)
    }

    /// A new listener; `waker` is called whenever something has arrived for it.
    pub fn subscribe(self: &Arc<Self>, waker: Option<Box<dyn Fn() + Send + Sync>>) -> Subscription {
        let queue = Arc::new(Queue {
            waiting: Mutex::new(Waiting {
                events: VecDeque::new(),
                bytes: 0,
                behind: true,
            }),
            arrived: Notify::new(),
            waker,
        });
        lock(&self.inner).listeners.push(Arc::downgrade(&queue));
        queue.arrived.notify_one();
        Subscription {
            hub: Arc::clone(self),
            queue,
        }
    }
}

impl Queue {
    fn push(&self, event: Event) {
        let mut waiting = lock(&self.waiting);
        if waiting.behind {
            // The resync that is due will hold this too, unless it is the last word.
            if event == Event::Stopped {
                waiting.events.push_back(event);
            }
        } else if waiting.events.len() >= QUEUE_LIMIT
            || waiting.bytes + recorded(&event) > QUEUE_BYTES
        {
            waiting.events.clear();
            waiting.bytes = 0;
            waiting.behind = true;
        } else {
            waiting.bytes += recorded(&event);
            waiting.events.push_back(event);
        }
    }

    fn wake(&self) {
        self.arrived.notify_one();
        if let Some(wake) = &self.waker {
            wake();
        }
    }
}

/// One listener's end.
pub struct Subscription {
    hub: Arc<Hub>,
    queue: Arc<Queue>,
}

impl Subscription {
    /// The next event if one is there. The first is always [`Event::Resync`].
    pub fn try_next(&mut self) -> Option<Event> {
        // The hub's lock comes first, as in `publish`, so that no event falls between the snapshot
        // and the queue.
        let inner = lock(&self.hub.inner);
        let mut waiting = lock(&self.queue.waiting);
        if waiting.behind {
            waiting.behind = false;
            return Some(Event::Resync {
                snapshot: Box::new(inner.state.clone()),
            });
        }
        let event = waiting.events.pop_front()?;
        waiting.bytes = waiting.bytes.saturating_sub(recorded(&event));
        Some(event)
    }

    /// Waits for the next event.
    pub async fn next(&mut self) -> Event {
        loop {
            let queue = Arc::clone(&self.queue);
            let arrived = queue.arrived.notified();
            if let Some(event) = self.try_next() {
                return event;
            }
            arrived.await;
        }
    }
}

/// Bytes of recorded messages in an event.
fn recorded(event: &Event) -> usize {
    match event {
        Event::Trace { records } => records.iter().map(|record| record.body.size()).sum(),
        _ => 0,
    }
}

/// A lock that a panicking holder cannot take down with it: what is inside is folded whole or not
/// at all, so it is good even then.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Notice, NoticeLevel, TenantId, TenantView, Timestamp, TraceBody, TraceRecord};

    fn tenant(id: usize) -> Event {
        Event::Tenant {
            tenant: TenantView {
                id: TenantId::new(id.to_string()),
                name: String::new(),
                colour: 0,
                degraded: false,
                bind: None,
                traffic: model::Traffic::default(),
                trusted: Vec::new(),
            },
        }
    }

    #[test]
    fn the_first_event_is_the_whole_state() {
        let hub = Hub::new();
        hub.publish(tenant(1));
        let mut listener = hub.subscribe(None);
        hub.publish(tenant(2));
        let Some(Event::Resync { snapshot }) = listener.try_next() else {
            panic!("no resync")
        };
        assert_eq!(snapshot.tenants.len(), 2);
        assert_eq!(listener.try_next(), None);
    }

    #[test]
    fn several_listeners_hear_what_many_threads_tell_in_one_order() {
        const TELLERS: usize = 4;
        const EACH: usize = 50;
        let hub = Hub::new();
        let mut listeners: Vec<_> = (0..3).map(|_| hub.subscribe(None)).collect();
        for listener in &mut listeners {
            let _ = listener.try_next();
        }
        std::thread::scope(|scope| {
            for teller in 0..TELLERS {
                let hub = &hub;
                scope.spawn(move || {
                    for number in 0..EACH {
                        hub.publish(tenant(teller * EACH + number));
                    }
                });
            }
        });
        let heard: Vec<Vec<Event>> = listeners
            .iter_mut()
            .map(|listener| std::iter::from_fn(|| listener.try_next()).collect())
            .collect();
        assert_eq!(heard[0].len(), TELLERS * EACH);
        assert_eq!(heard[0], heard[1]);
        assert_eq!(heard[0], heard[2]);
        // And each teller's own order is kept.
        for teller in 0..TELLERS {
            let own: Vec<_> = (0..EACH).map(|n| tenant(teller * EACH + n)).collect();
            let told: Vec<_> = heard[0]
                .iter()
                .filter(|e| own.contains(e))
                .cloned()
                .collect();
            assert_eq!(told, own);
        }
    }

    #[test]
    fn a_listener_that_falls_behind_starts_over_and_misses_nothing() {
        let hub = Hub::new();
        let mut listener = hub.subscribe(None);
        let _ = listener.try_next();
        for id in 0..QUEUE_LIMIT * 3 {
            hub.publish(tenant(id));
        }
        let Some(Event::Resync { snapshot }) = listener.try_next() else {
            panic!("no resync")
        };
        assert_eq!(snapshot.tenants.len(), QUEUE_LIMIT * 3);
        hub.publish(tenant(0));
        assert_eq!(listener.try_next(), Some(tenant(0)));
    }

    #[test]
    fn large_records_do_not_pile_up_for_a_listener_that_does_not_listen() {
        let hub = Hub::new();
        let mut listener = hub.subscribe(None);
        let _ = listener.try_next();
        let record = |id| TraceRecord {
            id,
            time: Timestamp(0),
            tenant: TenantId::new("t"),
            account: None,
            call: None,
            body: TraceBody::Sip {
                sent: false,
                transport: model::Transport::Udp,
                local: String::new(),
                peer: String::new(),
                bytes: vec![0; 1024 * 1024].into(),
            },
        };
        let trace = |id| Event::Trace {
            records: vec![record(id)],
        };
        (0..10).for_each(|id| hub.publish(trace(id)));
        for id in 0..10 {
            assert_eq!(listener.try_next(), Some(trace(id)), "so much may wait");
        }
        (0..20).for_each(|id| hub.publish(trace(id)));
        assert!(matches!(listener.try_next(), Some(Event::Resync { .. })));
        assert_eq!(lock(&listener.queue.waiting).bytes, 0);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_event_and_the_waker_is_called() {
        let hub = Hub::new();
        let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let mut listener = hub.subscribe(Some(Box::new(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        })));
        assert!(matches!(listener.next().await, Event::Resync { .. }));
        let notice = Event::Notice {
            notice: Notice {
                time: Timestamp(0),
                level: NoticeLevel::Info,
                tenant: None,
                text: "hello".into(),
            },
        };
        let publisher = Arc::clone(&hub);
        let sent = notice.clone();
        let task = tokio::spawn(async move { publisher.publish(sent) });
        assert_eq!(listener.next().await, notice);
        task.await.expect("publisher ends");
        assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1);
    }
}
