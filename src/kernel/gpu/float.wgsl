// One layer in 32-bit floats: y = w * x + b, for four rows by four outputs a thread.
//
// Named sums and loads of four numbers: arrays of sums are six to ten times slower on a software adapter, and no faster elsewhere.

override IN4: u32;  // vectors of a row going in
override OUT4: u32; // vectors of a row coming out
override RELU: u32; // whether negative results become 0

@group(0) @binding(0) var<storage, read> head: vec4<u32>; // rows, 0, 0, 0
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> w: array<vec4<f32>>; // by input, then by output
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

fn out(at: u32, sum: vec4<f32>) {
    y[at] = select(sum, max(sum, vec4<f32>(0.0)), RELU == 1u);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / OUT4 * 4u;
    let n = id.x % OUT4;
    if (row >= head.x) {
        return;
    }
    let b = bias[n];
    var s0 = b;
    var s1 = b;
    var s2 = b;
    var s3 = b;
    var at = row * IN4;
    var from_ = n;
    for (var k = 0u; k < IN4; k++) {
        let w0 = w[from_];
        let w1 = w[from_ + OUT4];
        let w2 = w[from_ + 2u * OUT4];
        let w3 = w[from_ + 3u * OUT4];
        let x0 = x[at];
        let x1 = x[at + IN4];
        let x2 = x[at + 2u * IN4];
        let x3 = x[at + 3u * IN4];
        s0 += x0.x * w0;
        s1 += x1.x * w0;
        s2 += x2.x * w0;
        s3 += x3.x * w0;
        s0 += x0.y * w1;
        s1 += x1.y * w1;
        s2 += x2.y * w1;
        s3 += x3.y * w1;
        s0 += x0.z * w2;
        s1 += x1.z * w2;
        s2 += x2.z * w2;
        s3 += x3.z * w2;
        s0 += x0.w * w3;
        s1 += x1.w * w3;
        s2 += x2.w * w3;
        s3 += x3.w * w3;
        at += 1u;
        from_ += 4u * OUT4;
    }
    let to = row * OUT4 + n;
    out(to, s0);
    out(to + OUT4, s1);
    out(to + 2u * OUT4, s2);
    out(to + 3u * OUT4, s3);
}
