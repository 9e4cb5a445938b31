//! Events on their way to those who asked for them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Event;
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use crate::rpc;

/// Tells events to all clients that asked for them. Cheap to clone; never waits.
#[derive(Clone, Default)]
pub struct Publisher {
    subscribers: Arc<Mutex<Vec<Subscriber>>>,
}

impl Publisher {
    /// Tells one event. A client whose queue is full misses it and will be told so.
    pub fn publish(&self, event: &Event) {
        let mut subscribers = self.lock();
        subscribers.retain(|subscriber| !subscriber.outbox.lines.is_closed());
        if subscribers.is_empty() {
            return;
        }
        // Nothing in an event lacks a form in JSON; if it did, the clients would have missed it.
        let Ok(event) = serde_json::to_value(event) else {
            subscribers.iter().for_each(Subscriber::miss);
            return;
        };
        let line: Arc<str> = rpc::notification("event", &event).to_string().into();
        for subscriber in subscribers.iter() {
            subscriber.tell(&line);
        }
    }

    /// How many clients listen.
    pub fn subscribers(&self) -> usize {
        self.lock()
            .iter()
            .filter(|subscriber| !subscriber.outbox.lines.is_closed())
            .count()
    }

    /// Adds a client. Asking twice does not tell twice.
    pub(crate) fn subscribe(&self, outbox: &Outbox) {
        let mut subscribers = self.lock();
        subscribers.retain(|subscriber| !subscriber.outbox.lines.is_closed());
        let known = subscribers
            .iter()
            .any(|subscriber| Arc::ptr_eq(&subscriber.outbox.load, &outbox.load));
        if !known {
            subscribers.push(Subscriber {
                outbox: outbox.clone(),
            });
        }
    }

    pub(crate) fn unsubscribe(&self, outbox: &Outbox) {
        self.lock()
            .retain(|subscriber| !Arc::ptr_eq(&subscriber.outbox.load, &outbox.load));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Subscriber>> {
        // The list is whole after each call on it, whatever panicked in between.
        self.subscribers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Publisher({} clients)", self.subscribers())
    }
}

struct Subscriber {
    outbox: Outbox,
}

impl Subscriber {
    fn tell(&self, line: &Arc<str>) {
        let load = &self.outbox.load;
        let behind = load.lost.load(Ordering::SeqCst) > 0;
        let heavy = load.bytes.load(Ordering::SeqCst).saturating_add(line.len()) > load.most_bytes;
        // A single event may be larger than the limit; to a client that waits for nothing it goes.
        let idle = load.bytes.load(Ordering::SeqCst) == 0;
        if behind || (heavy && !idle) || !self.outbox.try_send(line.clone()) {
            self.miss();
        }
    }

    fn miss(&self) {
        self.outbox.load.lost.fetch_add(1, Ordering::SeqCst);
    }
}

/// The queue of lines to one client. Answers wait for room, events do not.
#[derive(Clone)]
pub(crate) struct Outbox {
    lines: mpsc::Sender<Arc<str>>,
    load: Arc<Load>,
}

/// What waits in an [`Outbox`].
struct Load {
    bytes: AtomicUsize,
    most_bytes: usize,
    /// A line has left.
    lighter: Notify,
    /// Events missed since the client was last told.
    lost: AtomicU64,
}

/// The other end of an [`Outbox`].
pub(crate) struct Lines {
    lines: mpsc::Receiver<Arc<str>>,
    load: Arc<Load>,
}

/// A queue of at most so many lines and, for events, so many bytes.
pub(crate) fn outbox(most_lines: usize, most_bytes: usize) -> (Outbox, Lines) {
    let (sender, lines) = mpsc::channel(most_lines);
    let load = Arc::new(Load {
        bytes: AtomicUsize::new(0),
        most_bytes,
        lighter: Notify::new(),
        lost: AtomicU64::new(0),
    });
    let outbox = Outbox {
        lines: sender,
        load: Arc::clone(&load),
    };
    (outbox, Lines { lines, load })
}

impl Outbox {
    /// Waits for room. False when the client is gone.
    pub(crate) async fn send(&self, line: Arc<str>) -> bool {
        // A client that asks and asks and reads nothing would have all answers kept here.
        loop {
            let lighter = self.load.lighter.notified();
            let waiting = self.load.bytes.load(Ordering::SeqCst);
            if waiting == 0 || waiting.saturating_add(line.len()) <= self.load.most_bytes {
                break;
            }
            tokio::select! {
                () = lighter => {}
                () = self.lines.closed() => return false,
            }
        }
        self.load.bytes.fetch_add(line.len(), Ordering::SeqCst);
        self.lines.send(line).await.is_ok()
    }

    fn try_send(&self, line: Arc<str>) -> bool {
        let length = line.len();
        self.load.bytes.fetch_add(length, Ordering::SeqCst);
        let sent = self.lines.try_send(line).is_ok();
        if !sent {
            self.load.bytes.fetch_sub(length, Ordering::SeqCst);
        }
        sent
    }
}

impl Lines {
    /// The next line to write, `None` when nobody will send any more. After a queue that was full has
    /// emptied comes the word about what was missed. Events are missed only while the queue is full, so
    /// this cannot sleep on an untold loss.
    pub(crate) async fn next(&mut self) -> Option<Arc<str>> {
        let line = match self.lines.try_recv() {
            Ok(line) => line,
            Err(_) => {
                let lost = self.load.lost.swap(0, Ordering::SeqCst);
                if lost > 0 {
                    let marker = rpc::notification("resync", &json!({"lost": lost}));
                    return Some(marker.to_string().into());
                }
                self.lines.recv().await?
            }
        };
        self.load.bytes.fetch_sub(line.len(), Ordering::SeqCst);
        self.load.lighter.notify_one();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{CallId, Event};

    fn event(call: u64) -> Event {
        Event::CallRemoved { call: CallId(call) }
    }

    #[tokio::test]
    async fn a_slow_client_keeps_what_fitted_and_is_told_what_it_missed() {
        let publisher = Publisher::default();
        let (outbox, mut lines) = outbox(2, 1 << 20);
        publisher.subscribe(&outbox);
        for call in 1..=5 {
            publisher.publish(&event(call));
        }
        assert!(lines.next().await.unwrap().contains("\"call\":1"));
        // There is room again, and still nothing may overtake the gap.
        publisher.publish(&event(6));
        assert!(lines.next().await.unwrap().contains("\"call\":2"));
        let marker = lines.next().await.unwrap();
        assert!(
            marker.contains("\"resync\"") && marker.contains("\"lost\":4"),
            "{marker}"
        );
        publisher.publish(&event(7));
        assert!(lines.next().await.unwrap().contains("\"call\":7"));
    }

    #[tokio::test]
    async fn bytes_are_bounded_as_well_as_lines() {
        let publisher = Publisher::default();
        let (outbox, mut lines) = outbox(1000, 200);
        publisher.subscribe(&outbox);
        for call in 0..100 {
            publisher.publish(&event(call));
        }
        let mut bytes = 0;
        loop {
            let line = lines.next().await.unwrap();
            if line.contains("resync") {
                break;
            }
            bytes += line.len();
        }
        assert!((1..=200).contains(&bytes), "{bytes}");
    }

    #[tokio::test]
    async fn an_answer_waits_until_what_is_queued_has_left() {
        let (outbox, mut lines) = outbox(1000, 200);
        let line: Arc<str> = "x".repeat(150).into();
        assert!(outbox.send(line.clone()).await);
        let second = outbox.send(line.clone());
        tokio::pin!(second);
        let early = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(Future::poll(second.as_mut(), cx).is_ready())
        });
        assert!(!early.await, "two do not fit");
        assert_eq!(lines.next().await.map(|l| l.len()), Some(150));
        assert!(second.await);
        // And nobody waits for a client that has left.
        let third = outbox.send(line);
        drop(lines);
        assert!(!third.await);
    }

    #[tokio::test]
    async fn a_client_that_asks_twice_is_told_once_and_one_that_left_is_forgotten() {
        let publisher = Publisher::default();
        let (outbox, lines) = outbox(10, 1 << 20);
        publisher.subscribe(&outbox);
        publisher.subscribe(&outbox);
        assert_eq!(publisher.subscribers(), 1);
        drop(lines);
        publisher.publish(&event(1));
        assert_eq!(publisher.subscribers(), 0);
    }
}
