//! Sockets inside one machine: unix(7), tcp(7), udp(7) as far as a loopback has them.

use super::*;

use crate::wait::Failure;

impl Fixture {
    fn socket(&mut self, family: u16, kind: SocketKind) -> (Id<Description>, Id<Socket>) {
        let open = self.run(|files, caller| {
            files.make_socket(caller, family, kind, Peer::default(), OpenFlags::empty())
        });
        (open, self.files.socket_of(open).unwrap())
    }

    fn bind_and_listen(&mut self, socket: Id<Socket>, address: SocketAddress) {
        self.run(|files, caller| {
            files.bind(caller, socket, Some(address)).unwrap();
            files.listen(caller, socket, 5).unwrap();
        });
    }

    fn connect(&mut self, socket: Id<Socket>, address: SocketAddress) -> Result<(), Failure> {
        self.run(|files, caller| files.connect(caller, socket, Some(address), true))
    }

    fn accept(&mut self, socket: Id<Socket>) -> Result<Id<Socket>, Failure> {
        let (open, _) = self.run(|files, caller| files.accept(caller, socket, true, OpenFlags::empty()))?;
        Ok(self.files.socket_of(open).unwrap())
    }

    fn send(&mut self, socket: Id<Socket>, bytes: &[u8]) -> Result<usize, Failure> {
        let sending = Sending { immediate: true, ..Sending::default() };
        self.run(|files, caller| files.send(caller, socket, bytes, &sending))
    }

    fn receive(&mut self, socket: Id<Socket>) -> Result<Vec<u8>, Failure> {
        let mut buffer = [0; 256];
        let received = self.files.receive(socket, &mut buffer, false, true)?;
        Ok(buffer[..received.length].to_vec())
    }
}

fn local(port: u16) -> SocketAddress {
    SocketAddress::Internet(([127, 0, 0, 1], port).into())
}

#[test]
fn streams_connect_by_every_kind_of_name() {
    let names = [
        (AF_UNIX, SocketAddress::Path(b"/tmp/s".to_vec())),
        (AF_UNIX, SocketAddress::Abstract(b"s".to_vec())),
        (AF_INET, local(80)),
    ];
    for (family, name) in names {
        let mut fixture = Fixture::new();
        let (_, server) = fixture.socket(family, SocketKind::Stream);
        let (open, client) = fixture.socket(family, SocketKind::Stream);
        assert!(fixture.connect(client, name.clone()).is_err(), "nobody is there");
        fixture.bind_and_listen(server, name.clone());
        assert_eq!(fixture.accept(server), Err(Errno::EAGAIN.into()));
        fixture.connect(client, name.clone()).unwrap();
        assert_eq!(fixture.connect(client, name), Err(Errno::EISCONN.into()));
        let accepted = fixture.accept(server).unwrap();
        fixture.send(client, b"to the ").unwrap();
        fixture.send(client, b"server").unwrap();
        assert_eq!(fixture.receive(accepted).unwrap(), b"to the server");
        fixture.send(accepted, b"back").unwrap();
        assert_eq!(fixture.receive(client).unwrap(), b"back");
        fixture.files.close(open);
        assert_eq!(fixture.receive(accepted).unwrap(), b"", "the end");
        assert_eq!(fixture.send(accepted, b"x"), Err(Errno::EPIPE.into()));
    }
}

#[test]
fn other_networks_are_out_of_reach() {
    let mut fixture = Fixture::new();
    for kind in [SocketKind::Stream, SocketKind::Datagram] {
        let (_, socket) = fixture.socket(AF_INET, kind);
        let outside = SocketAddress::Internet(([93, 184, 216, 34], 80).into());
        assert_eq!(fixture.connect(socket, outside.clone()), Err(Errno::ENETUNREACH.into()));
        let bound = fixture.run(|files, caller| files.bind(caller, socket, Some(outside)));
        assert_eq!(bound, Err(Errno::EADDRNOTAVAIL));
    }
}

#[test]
fn ipv6_only_leaves_a_port_to_ipv4() {
    let any6 = || SocketAddress::Internet(([0_u16; 8], 80).into());
    let any4 = || SocketAddress::Internet(([0, 0, 0, 0], 80).into());
    for only in [false, true] {
        let mut fixture = Fixture::new();
        let (_, six) = fixture.socket(AF_INET6, SocketKind::Stream);
        let (_, four) = fixture.socket(AF_INET, SocketKind::Stream);
        let (_, client) = fixture.socket(AF_INET, SocketKind::Stream);
        fixture.files.socket_mut(six).options.insert((41, 26), vec![only.into(), 0, 0, 0]);
        fixture.bind_and_listen(six, any6());
        let refused = Err(Failure::from(Errno::ECONNREFUSED));
        assert_eq!(fixture.connect(client, local(80)), if only { refused } else { Ok(()) });
        let bound = fixture.run(|files, caller| files.bind(caller, four, Some(any4())));
        assert_eq!(bound, if only { Ok(()) } else { Err(Errno::EADDRINUSE) });
    }
}

#[test]
fn datagrams_stay_whole_and_tell_where_they_are_from() {
    let mut fixture = Fixture::new();
    let (_, server) = fixture.socket(AF_INET, SocketKind::Datagram);
    let (_, client) = fixture.socket(AF_INET, SocketKind::Datagram);
    fixture.run(|files, caller| files.bind(caller, server, Some(local(53)))).unwrap();
    fixture.connect(client, local(53)).unwrap();
    fixture.send(client, b"one").unwrap();
    fixture.send(client, b"two").unwrap();
    let mut small = [0; 2];
    let received = fixture.files.receive(server, &mut small, false, true).unwrap();
    assert_eq!((received.length, received.full_length), (2, 3), "what does not fit is lost");
    assert_eq!(received.from, fixture.files.socket(client).local);
    assert_eq!(fixture.receive(server).unwrap(), b"two");
}

#[test]
fn a_full_stream_makes_the_sender_wait() {
    let mut fixture = Fixture::new();
    let pair = fixture.run(|files, caller| {
        files.socket_pair(caller, SocketKind::Stream, Peer::default(), OpenFlags::empty())
    });
    let [one, other] = pair.map(|open| fixture.files.socket_of(open).unwrap());
    let sent = fixture.send(one, &[7; 1 << 20]).unwrap();
    assert!(sent < 1 << 20);
    assert_eq!(fixture.send(one, b"x"), Err(Errno::EAGAIN.into()));
    assert_eq!(fixture.receive(other).unwrap().len(), 256);
    assert_eq!(fixture.send(one, &[7; 512]), Ok(256));
}

#[test]
fn rights_travel_and_unread_ones_are_closed() {
    let mut fixture = Fixture::new();
    let pair = fixture.run(|files, caller| {
        files.socket_pair(caller, SocketKind::Stream, Peer::default(), OpenFlags::empty())
    });
    let [one, other] = pair.map(|open| fixture.files.socket_of(open).unwrap());
    let [reader, writer] = fixture.run(|files, caller| files.pipe(caller, OpenFlags::O_NONBLOCK));
    let rights = |files: &mut Files| Sending { rights: vec![files.hold(writer)], ..Sending::default() };
    let sending = rights(&mut fixture.files);
    fixture.run(|files, caller| files.send(caller, one, b"x", &sending)).unwrap();
    let mut buffer = [0; 8];
    let received = fixture.files.receive(other, &mut buffer, false, true).unwrap();
    assert_eq!(received.rights, [writer]);
    fixture.files.close(writer);
    let sending = rights(&mut fixture.files);
    fixture.run(|files, caller| files.send(caller, one, b"y", &sending)).unwrap();
    fixture.files.close(writer);
    // The message is now the pipe's only writer; it goes with the socket that holds it.
    let mut byte = [0];
    let mut read =
        |fixture: &mut Fixture| fixture.run(|files, caller| files.read(caller, reader, None, &mut byte));
    assert_eq!(read(&mut fixture), Err(Errno::EAGAIN.into()));
    fixture.files.close(pair[1]);
    assert_eq!(read(&mut fixture), Ok(0));
}

#[test]
fn what_is_on_its_way_is_bounded_and_accounted_for() {
    let mut fixture = Fixture::new();
    let [reader, writer] = fixture.run(|files, caller| files.pipe(caller, OpenFlags::O_NONBLOCK));
    let pair = fixture.run(|files, caller| {
        files.socket_pair(caller, SocketKind::Stream, Peer::default(), OpenFlags::empty())
    });
    let [one, other] = pair.map(|open| fixture.files.socket_of(open).unwrap());
    fixture.send(one, &[0; 1000]).unwrap();
    fixture.receive(other).unwrap();
    fixture.run(|files, caller| files.write(caller, writer, None, &[0; 5000])).unwrap();
    let mut buffer = [0; 1000];
    fixture.run(|files, caller| files.read(caller, reader, None, &mut buffer)).unwrap();
    assert_eq!(fixture.files.in_flight, 1000 - 256 + 4000);
    fixture.files.in_flight += IN_FLIGHT_MAX;
    let full = fixture.run(|files, caller| files.write(caller, writer, None, &[0; 5000]));
    assert_eq!(full, Err(Errno::EAGAIN.into()));
    assert_eq!(fixture.send(one, b"x"), Err(Errno::EAGAIN.into()));
    fixture.files.in_flight -= IN_FLIGHT_MAX;
    for open in [reader, writer, pair[0], pair[1]] {
        fixture.files.close(open);
    }
    fixture.list("/dev").unwrap();
    assert_eq!(fixture.files.in_flight, 0);
}

#[test]
fn sockets_that_only_their_own_messages_hold_are_collected() {
    let mut fixture = Fixture::new();
    for _ in 0..100 {
        let pair = fixture.run(|files, caller| {
            files.socket_pair(caller, SocketKind::Stream, Peer::default(), OpenFlags::empty())
        });
        for (from, sent) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let socket = fixture.files.socket_of(from).unwrap();
            let rights = vec![fixture.files.hold(sent)];
            let sending = Sending { rights, immediate: true, ..Sending::default() };
            fixture.run(|files, caller| files.send(caller, socket, b"x", &sending)).unwrap();
        }
        fixture.files.close(pair[0]);
        fixture.files.close(pair[1]);
    }
    // The collector waits until it is worth it: one more, which nobody sends, closes.
    let (last, _) = fixture.socket(AF_UNIX, SocketKind::Stream);
    for _ in 0..100 {
        let (open, _) = fixture.socket(AF_UNIX, SocketKind::Stream);
        fixture.files.close(open);
    }
    assert_eq!((fixture.files.states.iter::<Socket>().count(), fixture.files.rights_in_flight()), (1, 0));
    fixture.files.close(last);
}

#[test]
fn messages_that_somebody_can_reach_keep_their_files() {
    let mut fixture = Fixture::new();
    let [one, other] = fixture.run(|files, caller| {
        files.socket_pair(caller, SocketKind::Stream, Peer::default(), OpenFlags::empty())
    });
    let (sent, _) = fixture.socket(AF_UNIX, SocketKind::Stream);
    let socket = fixture.files.socket_of(one).unwrap();
    let sending = Sending { rights: vec![sent], immediate: true, ..Sending::default() };
    fixture.run(|files, caller| files.send(caller, socket, b"x", &sending)).unwrap();
    for _ in 0..100 {
        let (open, _) = fixture.socket(AF_UNIX, SocketKind::Stream);
        fixture.files.close(open);
    }
    let socket = fixture.files.socket_of(other).unwrap();
    let received = fixture.files.receive(socket, &mut [0; 8], false, true).unwrap();
    assert_eq!((received.rights, fixture.files.rights_in_flight()), (vec![sent], 0));
}
