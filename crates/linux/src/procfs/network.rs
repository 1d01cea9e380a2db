//! What `/proc/net` says of the machine's sockets (proc(5)).

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::objects::{AF_INET, AF_INET6, AF_UNIX, Files, OpenSocket, Socket, SocketAddress, SocketKind};

/// `dev`: the loopback, whose bytes are not counted.
pub(super) const DEVICES: &str = concat!(
    "Inter-|   Receive                                                |  Transmit\n",
    " face |bytes    packets errs drop fifo frame compressed multicast",
    "|bytes    packets errs drop fifo colls carrier compressed\n",
    "    lo:       0       0    0    0    0     0          0         0",
    "        0       0    0    0    0     0       0          0\n",
);

/// What `raw` says without sockets, and `raw6`.
pub(super) const INTERNET: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n";
pub(super) const INTERNET_6: &str = concat!(
    "  sl  local_address                         remote_address                        st tx_queue rx_queue",
    " tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n",
);

/// The states of connections that the tables have (TCP_ESTABLISHED and so on).
const ESTABLISHED: u8 = 1;
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// An Internet address as the kernel's memory has it: words in the order of bytes of the network, each
/// printed as the host's.
fn address(address: &SocketAddress, family: u16) -> String {
    let (octets, port) = match address {
        SocketAddress::Internet(address) => (octets(*address, family), address.port()),
        _ if family == AF_INET6 => (vec![0; 16], 0),
        _ => (vec![0; 4], 0),
    };
    let (words, _) = octets.as_chunks();
    let mut text: String = words.iter().map(|word| format!("{:08X}", u32::from_le_bytes(*word))).collect();
    let _ = write!(text, ":{port:04X}");
    text
}

fn octets(address: SocketAddr, family: u16) -> Vec<u8> {
    match address.ip() {
        IpAddr::V4(ip) if family == AF_INET6 => ip.to_ipv6_mapped().octets().to_vec(),
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// A table of the Internet sockets of one family and kind, a line each.
fn internet(files: &Files, family: u16, kind: SocketKind) -> String {
    let is_tcp = kind == SocketKind::Stream;
    let mut text = String::from(match (family, is_tcp) {
        (AF_INET, true) => {
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     \n"
        }
        (_, true) => {
            "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        }
        (AF_INET, false) => INTERNET,
        (_, false) => INTERNET_6,
    });
    let sockets = files.open_sockets();
    let of_table = |open: &&OpenSocket<'_>| open.socket.family == family && open.socket.kind == kind;
    for (index, OpenSocket { inode, socket }) in sockets.iter().filter(of_table).enumerate() {
        let state = match () {
            () if socket.is_listening() => LISTEN,
            () if socket.is_connected() => ESTABLISHED,
            () => CLOSE,
        };
        // An unbound socket is in no table of the kernel's.
        if socket.local == SocketAddress::Unnamed {
            continue;
        }
        let (local, remote) = (address(&socket.local, family), address(&socket.remote, family));
        let (waiting, user) = (socket.readable(), socket.creator.uid);
        let tail = if is_tcp { "1 0000000000000000 100 0 0 10 0" } else { "2 0000000000000000 0" };
        let _ = writeln!(
            text,
            "{index:4}: {local} {remote} {state:02X} 00000000:{waiting:08X} 00:00000000 00000000 {user:5} {:8} {inode} {tail}",
            0
        );
    }
    text
}

/// `tcp`
pub(super) fn tcp(files: &Files) -> String {
    internet(files, AF_INET, SocketKind::Stream)
}

/// `tcp6`
pub(super) fn tcp_6(files: &Files) -> String {
    internet(files, AF_INET6, SocketKind::Stream)
}

/// `udp`
pub(super) fn udp(files: &Files) -> String {
    internet(files, AF_INET, SocketKind::Datagram)
}

/// `udp6`
pub(super) fn udp_6(files: &Files) -> String {
    internet(files, AF_INET6, SocketKind::Datagram)
}

/// `unix`
pub(super) fn unix(files: &Files) -> String {
    /// SO_ACCEPTCON.
    const LISTENING: u32 = 0x1_0000;
    let mut text = String::from("Num       RefCount Protocol Flags    Type St Inode Path\n");
    for OpenSocket { inode, socket } in files.open_sockets() {
        if socket.family != AF_UNIX {
            continue;
        }
        let (references, kind) = match socket.kind {
            SocketKind::Stream => (3, 1),
            SocketKind::Datagram => (2, 2),
            SocketKind::Packets => (3, 5),
        };
        let flags = if socket.is_listening() { LISTENING } else { 0 };
        let state = if socket.is_connected() { 3 } else { 1 };
        let _ = write!(
            text,
            "0000000000000000: {references:08X} 00000000 {flags:08X} {kind:04X} {state:02X} {inode:5}"
        );
        match &socket.local {
            SocketAddress::Path(path) => {
                let _ = write!(text, " {}", String::from_utf8_lossy(path));
            }
            SocketAddress::Abstract(name) => {
                let shown: Vec<u8> = name.iter().map(|byte| if *byte == 0 { b'@' } else { *byte }).collect();
                let _ = write!(text, " @{}", String::from_utf8_lossy(&shown));
            }
            _ => {}
        }
        text.push('\n');
    }
    text
}

/// `sockstat`
pub(super) fn counts(files: &Files) -> String {
    let sockets = files.open_sockets();
    let count = |kind| {
        let of_kind = |socket: &Socket| socket.family == AF_INET && socket.kind == kind;
        sockets.iter().filter(|open| of_kind(open.socket)).count()
    };
    let (tcp, udp) = (count(SocketKind::Stream), count(SocketKind::Datagram));
    format!(
        "sockets: used {}\nTCP: inuse {tcp} orphan 0 tw 0 alloc {tcp} mem 0\nUDP: inuse {udp} mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
        sockets.len()
    )
}
