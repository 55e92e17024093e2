//! Who lacks which image: each related project says so as soon as it was looked at, and the builds of the targets learn it
//! here, without waiting for projects that do not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::{Deadline, Target};

/// How long a delivery waits for further projects that may lack the same image: one read of it serves all.
const GATHER: Duration = Duration::from_secs(3);

/// What is known of all related projects; `R` is one that is to be served.
#[derive(Debug)]
pub struct DeliveryQueue<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<R> {
    /// How many projects were not looked at yet.
    coming: usize,
    waiting: BTreeMap<Target, Vec<R>>,
    under_way: BTreeMap<Target, usize>,
    served: BTreeSet<Target>,
}

impl<R> DeliveryQueue<R> {
    /// A queue for so many related projects.
    pub fn new(projects: usize) -> Self {
        let (waiting, under_way, served) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self {
            state: Mutex::new(State { coming: projects, waiting, under_way, served }),
            changed: Condvar::new(),
        }
    }

    /// For one of the projects to say what it lacks.
    pub fn report(&self) -> Report<'_, R> {
        Report(self)
    }

    /// Waits until some project lacks the image of `target`. Returns false when none does, and none will.
    pub fn is_wanted(&self, target: Target) -> bool {
        let mut state = self.lock();
        loop {
            if state.is_waited_for(target) {
                return true;
            }
            if state.coming == 0 && state.under_way.get(&target).is_none_or(|count| *count == 0) {
                return false;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Those who lack the image of `target`, at most so many; waits a moment for more of them to say so.
    pub fn next(&self, target: Target, most: usize) -> Vec<R> {
        let deadline = Deadline::after(GATHER);
        let mut state = self.lock();
        while state.coming > 0 && !deadline.passed() {
            let waited = self.changed.wait_timeout(state, deadline.remaining());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let waiting = state.waiting.entry(target).or_default();
        let next: Vec<R> = waiting.drain(..most.min(waiting.len())).collect();
        *state.under_way.entry(target).or_default() += next.len();
        next
    }

    /// Whether somebody waits for the image of `target` whose turn has not come.
    pub fn others_wait(&self, target: Target) -> bool {
        self.lock().is_waited_for(target)
    }

    /// One of those that [`Self::next`] gave has the image.
    pub fn is_served(&self, target: Target) {
        let mut state = self.lock();
        state.served.insert(target);
        state.is_over(target);
        self.changed.notify_all();
    }

    /// One of them gets no image.
    pub fn is_given_up(&self, target: Target) {
        self.lock().is_over(target);
        self.changed.notify_all();
    }

    /// One of them is to be served again.
    pub fn again(&self, target: Target, project: R) {
        let mut state = self.lock();
        state.is_over(target);
        state.waiting.entry(target).or_default().push(project);
        self.changed.notify_all();
    }

    /// Whether any project has the image of `target`.
    pub fn anybody_has(&self, target: Target) -> bool {
        self.lock().served.contains(&target)
    }

    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> State<R> {
    fn is_waited_for(&self, target: Target) -> bool {
        self.waiting.get(&target).is_some_and(|waiting| !waiting.is_empty())
    }

    fn is_over(&mut self, target: Target) {
        let under_way = self.under_way.entry(target).or_default();
        *under_way = under_way.saturating_sub(1);
    }
}

/// What one project has to say; when this is dropped, all is said.
#[derive(Debug)]
pub struct Report<'a, R>(&'a DeliveryQueue<R>);

impl<R> Report<'_, R> {
    /// It lacks the image of `target`.
    pub fn lacks(&self, target: Target, project: R) {
        self.0.lock().waiting.entry(target).or_default().push(project);
        self.0.changed.notify_all();
    }

    /// It has it.
    pub fn has(&self, target: Target) {
        self.0.lock().served.insert(target);
    }
}

impl<R> Drop for Report<'_, R> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.coming = state.coming.saturating_sub(1);
        self.0.changed.notify_all();
    }
}

/// So many may do something at a time.
#[derive(Debug)]
pub struct Slots {
    free: Mutex<usize>,
    waiting: AtomicUsize,
    changed: Condvar,
}

impl Slots {
    /// This many are free.
    pub fn new(free: usize) -> Self {
        Self { free: Mutex::new(free), waiting: AtomicUsize::new(0), changed: Condvar::new() }
    }

    /// Takes all that are free, at least one; waits for that one.
    pub fn take_all(&self) -> usize {
        std::mem::take(&mut *self.wait())
    }

    /// Takes one, waiting for it.
    pub fn take_one(&self) {
        *self.wait() -= 1;
    }

    /// Gives back.
    pub fn give(&self, count: usize) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += count;
        self.changed.notify_all();
    }

    /// Whether somebody waits for one.
    pub fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    fn wait(&self) -> MutexGuard<'_, usize> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let free = self.changed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, BaseImage};

    const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };
    const JAMMY: Target = Target { base: BaseImage::Jammy, arch: Arch::X64 };

    #[test]
    fn what_one_project_lacks_is_known_while_another_has_not_answered() {
        let queue = DeliveryQueue::new(2);
        let _silent = queue.report();
        let quick = queue.report();
        quick.lacks(NOBLE, "quick");
        quick.has(JAMMY);
        drop(quick);
        assert!(queue.is_wanted(NOBLE));
        assert_eq!(queue.next(NOBLE, 8), ["quick"]);
        assert!(queue.anybody_has(JAMMY) && !queue.anybody_has(NOBLE));
    }

    #[test]
    fn nothing_is_wanted_once_all_have_said_so_and_none_is_under_way() {
        let queue = DeliveryQueue::new(1);
        queue.report().lacks(NOBLE, "one");
        assert!(!queue.is_wanted(JAMMY));
        assert_eq!(queue.next(NOBLE, 8), ["one"]);
        assert!(!queue.others_wait(NOBLE));
        queue.again(NOBLE, "one");
        assert!(queue.others_wait(NOBLE) && queue.is_wanted(NOBLE));
        assert_eq!(queue.next(NOBLE, 8), ["one"]);
        queue.is_served(NOBLE);
        assert!(!queue.is_wanted(NOBLE) && queue.anybody_has(NOBLE));
    }

    #[test]
    fn no_more_are_given_than_there_is_room_for() {
        let queue = DeliveryQueue::new(3);
        (0..3).for_each(|number| queue.report().lacks(NOBLE, number));
        assert_eq!((queue.next(NOBLE, 2), queue.others_wait(NOBLE)), (vec![0, 1], true));
        assert_eq!(queue.next(NOBLE, 2), [2]);
        let slots = Slots::new(8);
        slots.take_one();
        assert_eq!(slots.take_all(), 7);
        slots.give(2);
        assert_eq!(slots.take_all(), 2);
    }
}
