//! The host's network, lent to a guest: sockets that never wait.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use pentimento_linux::host::{Network, NetworkDatagrams, NetworkListener, NetworkStream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// A socket, and what to wait for.
#[derive(Debug)]
struct Socket {
    fd: OwnedFd,
    /// Its connection is being made.
    connecting: AtomicBool,
    /// Nothing more will come.
    ended: AtomicBool,
}

/// The network of the host with all of its addresses: the guest connects and listens as this process
/// could. A machine with it is no longer deterministic.
///
/// ```no_run
/// use pentimento::host::HostNetwork;
/// use pentimento::{Error, Machine};
///
/// let machine = Machine::builder().network(HostNetwork::default()).build()?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Default)]
pub struct HostNetwork {
    sockets: Watched,
}

/// All sockets that the guest holds.
type Watched = Arc<Mutex<Vec<Weak<Socket>>>>;

fn watch(sockets: &Watched, fd: OwnedFd) -> Arc<Socket> {
    let socket = Arc::new(Socket { fd, connecting: AtomicBool::new(false), ended: AtomicBool::new(false) });
    let mut sockets = sockets.lock().unwrap_or_else(PoisonError::into_inner);
    sockets.retain(|socket| socket.strong_count() > 0);
    sockets.push(Arc::downgrade(&socket));
    socket
}

impl HostNetwork {
    fn open(&mut self, address: SocketAddr, kind: SocketType) -> io::Result<Arc<Socket>> {
        let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let fd = net::socket_with(family, kind, flags, None)?;
        Ok(watch(&self.sockets, fd))
    }
}

impl Network for HostNetwork {
    fn connect(&mut self, to: SocketAddr) -> io::Result<Box<dyn NetworkStream>> {
        let socket = self.open(to, SocketType::STREAM)?;
        match net::connect(&socket.fd, &to) {
            Ok(()) => {}
            Err(Errno::INPROGRESS) => socket.connecting.store(true, Ordering::Relaxed),
            Err(error) => return Err(error.into()),
        }
        Ok(Box::new(Stream(socket)))
    }

    fn listen(&mut self, at: SocketAddr, backlog: u32) -> io::Result<Box<dyn NetworkListener>> {
        let socket = self.open(at, SocketType::STREAM)?;
        sockopt::set_socket_reuseaddr(&socket.fd, true)?;
        net::bind(&socket.fd, &at)?;
        net::listen(&socket.fd, i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(Box::new(Listener(socket, Arc::clone(&self.sockets))))
    }

    fn datagrams(&mut self, at: SocketAddr) -> io::Result<Box<dyn NetworkDatagrams>> {
        let socket = self.open(at, SocketType::DGRAM)?;
        net::bind(&socket.fd, &at)?;
        Ok(Box::new(Datagrams(socket)))
    }

    fn wait(&mut self, timeout: Duration) {
        let watched = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let sockets: Vec<Arc<Socket>> = watched.iter().filter_map(Weak::upgrade).collect();
        drop(watched);
        let living = sockets.iter().filter(|socket| !socket.ended.load(Ordering::Relaxed));
        let mut descriptors: Vec<PollFd<'_>> = living
            .map(|socket| {
                let connecting = socket.connecting.load(Ordering::Relaxed);
                PollFd::new(&socket.fd, if connecting { PollFlags::OUT } else { PollFlags::IN })
            })
            .collect();
        let timeout = Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        // Whatever keeps the host from waiting, the sockets say it themselves.
        let _ = poll(&mut descriptors, Some(&timeout));
    }
}

struct Stream(Arc<Socket>);

impl NetworkStream for Stream {
    fn is_connected(&mut self) -> io::Result<bool> {
        if !self.0.connecting.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let mut descriptors = [PollFd::new(&self.0.fd, PollFlags::OUT)];
        if poll(&mut descriptors, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? == 0 {
            return Ok(false);
        }
        sockopt::socket_error(&self.0.fd)??;
        self.0.connecting.store(false, Ordering::Relaxed);
        Ok(true)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, _) = net::recv(&self.0.fd, &mut *buffer, RecvFlags::empty())?;
        if read == 0 {
            self.0.ended.store(true, Ordering::Relaxed);
        }
        Ok(read)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(net::send(&self.0.fd, bytes, SendFlags::NOSIGNAL)?)
    }

    fn finish(&mut self) {
        // A connection that is gone has nothing left to end.
        let _ = net::shutdown(&self.0.fd, net::Shutdown::Write);
    }

    fn local_address(&self) -> Option<SocketAddr> {
        net::getsockname(&self.0.fd).ok()?.try_into().ok()
    }
}

struct Listener(Arc<Socket>, Watched);

impl NetworkListener for Listener {
    fn accept(&mut self) -> io::Result<(Box<dyn NetworkStream>, SocketAddr)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (fd, from) = net::acceptfrom_with(&self.0.fd, flags)?;
        let from = from.and_then(|from| from.try_into().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok((Box::new(Stream(watch(&self.1, fd))), from))
    }
}

struct Datagrams(Arc<Socket>);

impl NetworkDatagrams for Datagrams {
    fn send(&mut self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        Ok(net::sendto(&self.0.fd, bytes, SendFlags::NOSIGNAL, &to)?)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (read, _, from) = net::recvfrom(&self.0.fd, &mut *buffer, RecvFlags::empty())?;
        let from = from.and_then(|from| from.try_into().ok()).ok_or(io::ErrorKind::InvalidData)?;
        Ok((read, from))
    }
}
