"""ncnn as a contestant, float32: python ncnn_peer.py vulkan|cpu. A run uploads and downloads; slopes cancel both."""
import struct
import sys

from serve import serve

VULKAN = sys.argv[1] == "vulkan"
THREADS = 2
RAW_FLOAT32 = struct.pack("<I", 0)


def layers(work, links):
    """Lines of a .param file and the number of its blobs; `x` is the input, `y1` to `yN` are the outputs."""
    lines, blobs = ["Input x 0 1 x"], 1
    names = ["x"] + [f"y{i}" for i in range(1, links + 1)]
    if work["kind"] == "attention":
        for name in ("k", "v"):
            copies = " ".join(f"{name}{i}" for i in range(links))
            lines += [f"Input {name} 0 1 {name}", f"Split {name}s 1 {links} {name} {copies}"]
            blobs += 1 + links
    for i in range(links):
        source, target = names[i], names[i + 1]
        if work["kind"] == "conv2d":
            c = work["channels"]
            lines.append(f"Convolution conv{i} 1 1 {source} {target} 0={c} 1=3 4=1 5=0 6={9 * c * c}")
        elif work["kind"] == "gemm":
            n = work["size"]
            lines.append(f"Gemm gemm{i} 1 1 {source} {target} 4=0 5=1 6=1 8={n} 9={n} 10=-1")
        else:
            lines.append(f"SDPA sdpa{i} 3 1 {source} k{i} v{i} {target}")
        blobs += 1
    return lines, blobs


def open_peer():
    import ncnn
    import numpy as np

    if VULKAN and (ncnn.create_gpu_instance() != 0 or ncnn.get_gpu_count() == 0):
        raise RuntimeError("ncnn finds no Vulkan device")

    def prepare(work, inputs, links, path):
        lines, blobs = layers(work, links)
        with open(path + ".param", "w") as file:
            file.write("\n".join(["7767517", f"{len(lines)} {blobs}", *lines, ""]))
        with open(path + ".bin", "wb") as file:
            for _ in range(links if "w" in inputs else 0):
                file.write(RAW_FLOAT32 + inputs["w"].tobytes())
        net = ncnn.Net()
        net.opt.use_vulkan_compute = VULKAN
        net.opt.num_threads = THREADS
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_packed = net.opt.use_bf16_storage = False
        if net.load_param(path + ".param") != 0 or net.load_model(path + ".bin") != 0:
            raise RuntimeError(f"ncnn cannot load the {work['kind']} chain")
        last = [None]

        def run():
            extractor = net.create_extractor()
            for name, array in inputs.items():
                if name != "w":
                    extractor.input(name, ncnn.Mat(array))  # borrows: `inputs` keeps the arrays alive
            code, y = extractor.extract(f"y{links}")
            if code != 0:
                raise RuntimeError(f"ncnn returned {code}")
            last[0] = y

        return run, lambda: np.array(last[0])

    device = ncnn.get_gpu_info(ncnn.get_default_gpu_index()).device_name() if VULKAN else f"{THREADS} threads"
    return f"ncnn {ncnn.__version__}, {device}", prepare


serve(open_peer)
