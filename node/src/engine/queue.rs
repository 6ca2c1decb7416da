//! The engine's one queue, and who may have to wait in front of it.
//!
//! Answers of workers always find room: a worker that waited here while the engine waits for a
//! worker would stop both for good. They are bounded by what the engine has asked for. What
//! comes from other nodes takes a [`Place`] first and gives it back when the engine is done
//! with it, so that it is bounded too.

use std::sync::{
    Arc, Condvar, Mutex, PoisonError,
    mpsc::{Receiver, Sender, channel},
};

use super::Event;

/// Checked consensus messages that wait for the engine. Past it they are dropped; their senders
/// repeat them.
const MAX_MESSAGES: usize = 4_096;
/// Events of the network that wait for the engine: a body has up to 4 MiB. Past it the router
/// waits, and the network drops what has waited longest.
const MAX_NETWORK_EVENTS: usize = 16;

/// The engine is gone.
#[derive(Debug)]
pub(super) struct Gone;

/// An event and the place that it takes.
pub(super) struct Queued {
    pub(super) event: Event,
    pub(super) _place: Option<Place>,
}

/// The sending side.
#[derive(Clone)]
pub(super) struct Queue {
    events: Sender<Queued>,
    messages: Places,
    network: Places,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Queue {
    pub(super) fn new() -> (Self, Receiver<Queued>) {
        let (events, receiver) = channel();
        let (messages, network) = (Places::new(MAX_MESSAGES), Places::new(MAX_NETWORK_EVENTS));
        (Self { events, messages, network }, receiver)
    }

    /// Hands in what the engine has asked for. Never waits.
    pub(super) fn answer(&self, event: Event) {
        // Nobody is there to hear it when the engine has stopped.
        let _ = self.events.send(Queued { event, _place: None });
    }

    /// Hands in what was said by others, if there is room.
    pub(super) fn offer(&self, event: Event) {
        if let Some(place) = self.messages.try_take() {
            let _ = self.events.send(Queued { event, _place: Some(place) });
        }
    }

    /// Hands in what must not be lost, and waits for room.
    pub(super) fn bring(&self, event: Event) -> Result<(), Gone> {
        let place = self.network.take();
        self.events.send(Queued { event, _place: Some(place) }).map_err(|_| Gone)
    }
}

/// So many may wait at once.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<(Mutex<usize>, Condvar)>);

/// One of them; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place(Places);

impl Places {
    pub(super) fn new(free: usize) -> Self {
        Self(Arc::new((Mutex::new(free), Condvar::new())))
    }

    pub(super) fn try_take(&self) -> Option<Place> {
        let mut free = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1)?;
        Some(Place(self.clone()))
    }

    pub(super) fn take(&self) -> Place {
        let (free, given_back) = &*self.0;
        let free = free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            given_back.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Place(self.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (free, given_back) = &*self.0.0;
        *free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_never_waits_and_others_are_bounded() {
        let (queue, receiver) = Queue::new();
        for _ in 0..MAX_MESSAGES + 10 {
            queue.offer(Event::Work);
        }
        // Nobody reads, and still every answer is taken at once.
        for _ in 0..2 * MAX_MESSAGES {
            queue.answer(Event::Work);
        }
        assert_eq!(receiver.try_iter().count(), 3 * MAX_MESSAGES);
        queue.offer(Event::Work);
        assert_eq!(receiver.try_iter().count(), 1, "places are given back");
        for _ in 0..MAX_NETWORK_EVENTS {
            queue.bring(Event::Work).unwrap();
        }
        let waiting = {
            let queue = queue.clone();
            std::thread::spawn(move || queue.bring(Event::Work))
        };
        // The engine stops: whoever waits is let go and told.
        drop(receiver);
        assert!(waiting.join().unwrap().is_err());
    }
}
