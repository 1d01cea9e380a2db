//! Addresses of sockets, and how `struct sockaddr` holds them (unix(7), ip(7), ipv6(7)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::errno::Errno;
use crate::record::Record;

/// `AF_UNSPEC`: no address.
const AF_UNSPEC: u16 = 0;
/// `AF_UNIX`.
pub(crate) const AF_UNIX: u16 = 1;
/// `AF_INET`.
pub(crate) const AF_INET: u16 = 2;
/// `AF_INET6`.
pub(crate) const AF_INET6: u16 = 10;

/// Most bytes of a unix path, its zero included.
const UNIX_PATH_MAX: usize = 108;

/// Where a socket is, or is to be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum SocketAddress {
    /// Nowhere.
    #[default]
    Unnamed,
    /// A unix socket with a file.
    Path(Vec<u8>),
    /// A unix socket with a name outside the file system.
    Abstract(Vec<u8>),
    /// An Internet address and port.
    Internet(SocketAddr),
}

impl SocketAddress {
    /// Reads a `struct sockaddr` of the given family; `None` for AF_UNSPEC.
    pub(crate) fn decode(bytes: &[u8], family: u16) -> Result<Option<Self>, Errno> {
        let given = u16::from_le_bytes(*bytes.first_chunk().ok_or(Errno::EINVAL)?);
        if given == AF_UNSPEC {
            return Ok(None);
        }
        if given != family {
            return Err(if family == AF_UNIX { Errno::EINVAL } else { Errno::EAFNOSUPPORT });
        }
        let port = |bytes: &[u8]| u16::from_be_bytes([bytes[2], bytes[3]]);
        Ok(Some(match family {
            AF_UNIX => Self::decode_unix(&bytes[2..])?,
            AF_INET => {
                let bytes: &[u8; 8] = bytes.first_chunk().ok_or(Errno::EINVAL)?;
                let ip = Ipv4Addr::new(bytes[4], bytes[5], bytes[6], bytes[7]);
                Self::Internet(SocketAddrV4::new(ip, port(bytes)).into())
            }
            _ => {
                let bytes: &[u8; 24] = bytes.first_chunk().ok_or(Errno::EINVAL)?;
                let mut ip = [0; 16];
                ip.copy_from_slice(&bytes[8..24]);
                Self::Internet(SocketAddrV6::new(Ipv6Addr::from(ip), port(bytes), 0, 0).into())
            }
        }))
    }

    fn decode_unix(path: &[u8]) -> Result<Self, Errno> {
        if path.len() > UNIX_PATH_MAX {
            return Err(Errno::EINVAL);
        }
        match path.first() {
            None => Ok(Self::Unnamed),
            Some(0) => Ok(Self::Abstract(path[1..].to_vec())),
            Some(_) => {
                let length = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
                Ok(Self::Path(path[..length].to_vec()))
            }
        }
    }

    /// The `struct sockaddr` of the given family.
    pub(crate) fn encode(&self, family: u16) -> Record {
        let record = Record::new().u16(family);
        match self {
            Self::Unnamed if family == AF_UNIX => record,
            Self::Unnamed => record.pad_to(if family == AF_INET { 16 } else { 28 }),
            Self::Path(path) => record.bytes(path).u8(0),
            Self::Abstract(name) => record.u8(0).bytes(name),
            Self::Internet(address) => {
                let record = record.bytes(&address.port().to_be_bytes());
                match (family, address.ip()) {
                    (AF_INET, IpAddr::V4(ip)) => record.bytes(&ip.octets()).pad_to(16),
                    (AF_INET, IpAddr::V6(_)) => record.pad_to(16),
                    (_, IpAddr::V4(ip)) => record.u32(0).bytes(&ip.to_ipv6_mapped().octets()).pad_to(28),
                    (_, IpAddr::V6(ip)) => record.u32(0).bytes(&ip.octets()).pad_to(28),
                }
            }
        }
    }

    /// The same address, with an IPv4 address in IPv6 clothes as itself.
    pub(crate) fn canonical(self) -> Self {
        match self {
            Self::Internet(address) => {
                Self::Internet(SocketAddr::new(address.ip().to_canonical(), address.port()))
            }
            other => other,
        }
    }
}

/// Whether an address is the machine's own, so that sockets can be bound to it and reached at it.
pub(crate) fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_encoding() {
        let inet: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let inet6: SocketAddr = "[::1]:80".parse().unwrap();
        for (family, length, address) in [
            (AF_UNIX, 2, SocketAddress::Unnamed),
            (AF_UNIX, 9, SocketAddress::Path(b"/tmp/s".to_vec())),
            (AF_UNIX, 7, SocketAddress::Abstract(b"name".to_vec())),
            (AF_INET, 16, SocketAddress::Internet(inet)),
            (AF_INET6, 28, SocketAddress::Internet(inet6)),
        ] {
            let record = address.encode(family);
            assert_eq!(record.as_bytes().len(), length, "{address:?}");
            assert_eq!(SocketAddress::decode(record.as_bytes(), family), Ok(Some(address)));
        }
        assert_eq!(SocketAddress::decode(&[2, 0, 0], AF_INET), Err(Errno::EINVAL));
        assert_eq!(SocketAddress::decode(&[10, 0, 0], AF_INET), Err(Errno::EAFNOSUPPORT));
        assert_eq!(SocketAddress::decode(&[0, 0], AF_INET), Ok(None));
    }
}
