//! A Juju unit agent and an OpenStack cloud, embedded, for the charm's tests and for newcomers.

pub mod agent;
pub mod cloud;
pub mod fixture;
pub mod instance;
pub mod juju;
pub mod recipe;
pub mod servers;

/// Locks, also when another thread panicked while it held the lock: tests want the first panic's message.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
