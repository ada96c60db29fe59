//! The two files: weights as safetensors, test rows as a capture that `punctual load` replays.

use crate::net::Layer;

/// A length, a header in JSON, then the numbers.
pub(crate) fn safetensors(layers: &[Layer]) -> Vec<u8> {
    let (mut entries, mut data) = (Vec::new(), Vec::new());
    for (i, layer) in layers.iter().enumerate() {
        let shape = format!("[{},{}]", layer.outputs, layer.inputs);
        let bias_shape = format!("[{}]", layer.outputs);
        for (name, shape, numbers) in
            [("weight", shape, &layer.weights), ("bias", bias_shape, &layer.bias)]
        {
            let begin = data.len();
            numbers.iter().for_each(|x| data.extend_from_slice(&x.to_le_bytes()));
            let end = data.len();
            entries.push(format!(
                "\"layers.{i}.{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[{begin},{end}]}}"
            ));
        }
    }
    let mut header = format!("{{{}}}", entries.join(","));
    // The numbers begin at a multiple of eight.
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// Raw IPv4 (link type 101), a datagram every 100 us from 10.0.0.1:5000 to 10.0.0.2:8090, without UDP checksums.
pub(crate) fn pcap(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    for (i, payload) in payloads.iter().enumerate() {
        let udp = 8 + payload.len();
        let total = 20 + udp;
        let time = i as u32 * 100;
        for word in [time / 1_000_000, time % 1_000_000, total as u32, total as u32] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let mut ip = vec![0x45, 0];
        ip.extend_from_slice(&(total as u16).to_be_bytes());
        ip.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        let sum: u32 = ip.chunks_exact(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
        let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend(ip);
        for port in [5_000_u16, 8_090, udp as u16, 0] {
            bytes.extend_from_slice(&port.to_be_bytes());
        }
        bytes.extend_from_slice(payload);
    }
    bytes
}
