//! What getrlimit(2) limits, by Linux's names.

use std::ops::{Index, IndexMut};

/// A resource; the number is the one that programs use.
#[rustfmt::skip]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resource {
    /// RLIMIT_CPU: processor time, seconds.
    Cpu = 0,
    /// RLIMIT_FSIZE: size of files, bytes.
    Fsize = 1,
    /// RLIMIT_DATA: private writable memory, bytes.
    Data = 2,
    /// RLIMIT_STACK: the stack, bytes.
    Stack = 3,
    /// RLIMIT_CORE: core files, bytes.
    Core = 4,
    /// RLIMIT_RSS: pages in memory, bytes; without effect, as on Linux.
    Rss = 5,
    /// RLIMIT_NPROC: processes of the user.
    Nproc = 6,
    /// RLIMIT_NOFILE: one more than the highest descriptor.
    Nofile = 7,
    /// RLIMIT_MEMLOCK: locked memory, bytes.
    Memlock = 8,
    /// RLIMIT_AS: mapped memory, bytes.
    As = 9,
    /// RLIMIT_LOCKS: file locks; without effect, as on Linux.
    Locks = 10,
    /// RLIMIT_SIGPENDING: queued signals of the user.
    Sigpending = 11,
    /// RLIMIT_MSGQUEUE: bytes in POSIX message queues.
    Msgqueue = 12,
    /// RLIMIT_NICE: 20 minus the lowest nice value.
    Nice = 13,
    /// RLIMIT_RTPRIO: highest real-time priority.
    Rtprio = 14,
    /// RLIMIT_RTTIME: processor time without a pause under real-time scheduling, microseconds.
    Rttime = 15,
}

impl Resource {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 16] = [
        Self::Cpu,
        Self::Fsize,
        Self::Data,
        Self::Stack,
        Self::Core,
        Self::Rss,
        Self::Nproc,
        Self::Nofile,
        Self::Memlock,
        Self::As,
        Self::Locks,
        Self::Sigpending,
        Self::Msgqueue,
        Self::Nice,
        Self::Rtprio,
        Self::Rttime,
    ];

    /// The resource with `number`, if there is one.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

/// A soft and a hard limit; `u64::MAX` is RLIM_INFINITY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limit {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

impl Limit {
    /// No limit at all.
    pub(crate) const INFINITE: Self = Self::both(u64::MAX);

    /// The same soft and hard limit.
    pub(crate) const fn both(limit: u64) -> Self {
        Self { soft: limit, hard: limit }
    }
}

/// The limits of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ResourceLimits([Limit; Resource::ALL.len()]);

impl Default for ResourceLimits {
    /// No limit on any resource.
    fn default() -> Self {
        Self([Limit::INFINITE; Resource::ALL.len()])
    }
}

impl Index<Resource> for ResourceLimits {
    type Output = Limit;

    fn index(&self, resource: Resource) -> &Limit {
        &self.0[resource as usize]
    }
}

impl IndexMut<Resource> for ResourceLimits {
    fn index_mut(&mut self, resource: Resource) -> &mut Limit {
        &mut self.0[resource as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Resource;

    #[test]
    fn resources_lie_at_their_numbers() {
        for (number, resource) in Resource::ALL.iter().enumerate() {
            assert_eq!(*resource as usize, number);
        }
        assert_eq!(Resource::from_number(16), None);
    }
}
