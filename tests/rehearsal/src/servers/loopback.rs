//! Addresses for servers of other programs, which choose no free port by themselves.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address of the loopback interface that nobody else uses, with a port that is free there. A program that is told to
/// listen on it finds it free, also after it was stopped: other servers and the ends of connections have 127.0.0.1, and
/// instances have networks above these (`Hypervisor`).
pub fn own_address() -> std::io::Result<SocketAddr> {
    let [first, second, third, ..] = uuid::Uuid::new_v4().into_bytes();
    TcpListener::bind((Ipv4Addr::new(127, 1 + first % 15, second, third.clamp(1, 254)), 0))?.local_addr()
}
