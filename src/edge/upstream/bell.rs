//! Who is woken when a connection has something to do: whoever uses it at the moment.
//!
//! hyper's halves of a connection wake each other, and the sockets wake whoever polled last. A connection that is
//! polled by its user, and by another one with the next call, would so wake the task of a call that is over, and each
//! call its own task for what it has just done itself. The bell stands between: it passes a ring on to the present
//! user, keeps it back while that user is polling anyway, and keeps still while there is none.

use std::sync::Arc;
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// The waker of one connection.
#[derive(Debug, Default)]
pub(super) struct Bell(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Who uses the connection; `None` while it lies in the pool.
    user: Option<Waker>,
    /// Whether the user is polling right now.
    polling: bool,
    /// Whether it rang and nobody was told.
    rang: bool,
}

impl Bell {
    /// Begins a poll by the user behind `waker`. What rings until [`Bell::pause`] is kept.
    pub(super) fn listen(&self, waker: &Waker) {
        let mut state = self.0.lock();
        state.polling = true;
        state.rang = false;
        match &mut state.user {
            Some(user) => user.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Whether it rang since this was last asked. The poll goes on.
    pub(super) fn rang(&self) -> bool {
        std::mem::take(&mut self.0.lock().rang)
    }

    /// Ends the poll and answers whether it rang meanwhile; from now on a ring wakes the user.
    pub(super) fn pause(&self) -> bool {
        let mut state = self.0.lock();
        state.polling = false;
        std::mem::take(&mut state.rang)
    }

    /// Forgets the user: nobody is told any more, but [`Bell::rang`] knows.
    pub(super) fn dismiss(&self) {
        let user = {
            let mut state = self.0.lock();
            state.polling = false;
            state.rang = false;
            state.user.take()
        };
        drop(user);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let user = {
            let mut state = self.0.lock();
            if state.polling || state.user.is_none() {
                state.rang = true;
                return;
            }
            state.user.clone()
        };
        if let Some(user) = user {
            user.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};

    use super::Bell;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_ring_reaches_the_present_user_alone_and_not_while_it_polls() {
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let heard = || (first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst));
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));

        bell.listen(&Waker::from(Arc::clone(&first)));
        waker.wake_by_ref();
        assert!(bell.pause(), "the poll is told");
        assert_eq!(heard(), (0, 0), "and not woken besides");
        waker.wake_by_ref();
        assert_eq!(heard(), (1, 0));

        bell.dismiss();
        waker.wake_by_ref();
        assert_eq!(heard(), (1, 0), "its call is over");
        assert!(bell.rang(), "but who looks at it knows");

        bell.listen(&Waker::from(Arc::clone(&second)));
        assert!(!bell.pause());
        waker.wake_by_ref();
        assert_eq!(heard(), (1, 1));
    }
}
