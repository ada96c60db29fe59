//! quinn-udp on tokio: trains in, trains out, up to `BATCH_SIZE` of them a call.

use std::cell::RefCell;
use std::io::{ErrorKind, IoSliceMut};
use std::net::UdpSocket;
use std::rc::Rc;

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::task::LocalSet;

use super::work::Work;

/// A whole train.
const TRAIN: usize = 65_536;

pub(crate) fn serve(sockets: Vec<UdpSocket>, work: Work) -> anyhow::Result<()> {
    let work = Rc::new(RefCell::new(work));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let ports = sockets.into_iter().map(|s| tokio::task::spawn_local(port(s, work.clone())));
        for task in ports.collect::<Vec<_>>() {
            task.await??;
        }
        Ok(())
    })
}

async fn port(socket: UdpSocket, work: Rc<RefCell<Work>>) -> std::io::Result<()> {
    let state = UdpSocketState::new((&socket).into())?;
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut memory = vec![0; BATCH_SIZE * TRAIN];
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    loop {
        socket.readable().await?;
        let mut buffers = memory.chunks_mut(TRAIN).map(IoSliceMut::new).collect::<Vec<_>>();
        let receive = || state.recv((&socket).into(), &mut buffers, &mut metas);
        let got = match socket.try_io(Interest::READABLE, receive) {
            Ok(got) => got,
            Err(e) if e.kind() == ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        };
        for (meta, buffer) in metas[..got].iter().zip(memory.chunks_mut(TRAIN)) {
            let train = &mut buffer[..meta.len];
            for datagram in train.chunks_mut(meta.stride.max(1)) {
                work.borrow_mut().run(datagram);
            }
            send(&state, &socket, meta, train).await?;
        }
    }
}

async fn send(
    state: &UdpSocketState,
    socket: &tokio::net::UdpSocket,
    meta: &RecvMeta,
    train: &[u8],
) -> std::io::Result<()> {
    let transmit = Transmit {
        destination: meta.addr,
        ecn: None,
        contents: train,
        segment_size: (meta.len > meta.stride).then_some(meta.stride),
        src_ip: None,
    };
    loop {
        let send = || state.try_send(socket.into(), &transmit);
        match socket.try_io(Interest::WRITABLE, send) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => socket.writable().await?,
            result => return result,
        }
    }
}
