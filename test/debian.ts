/**
 * Compilers and tools that the tests of C artefacts use, and browsers for pages, as Debian has them. `test/system.ts` installs those that are
 * missing where it may; tests that want one that is not there skip with a reason.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

interface DebianPackage {
  readonly name: string;
  /** A file that tells that it is installed. */
  readonly file: string;
}

const packages: readonly DebianPackage[] = [
  { name: "gcc", file: "/usr/bin/gcc" },
  { name: "g++", file: "/usr/bin/g++" },
  { name: "clang-19", file: "/usr/bin/clang-19" },
  { name: "libclang-rt-19-dev", file: "/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.asan-x86_64.a" },
  { name: "gcc-aarch64-linux-gnu", file: "/usr/bin/aarch64-linux-gnu-gcc" },
  { name: "libc6-dev-arm64-cross", file: "/usr/aarch64-linux-gnu/include/stdio.h" },
  { name: "qemu-user", file: "/usr/bin/qemu-aarch64" },
  { name: "make", file: "/usr/bin/make" },
  { name: "cmake", file: "/usr/bin/cmake" },
  { name: "pkg-config", file: "/usr/bin/pkg-config" },
  { name: "valgrind", file: "/usr/bin/valgrind" },
  { name: "chromium", file: "/usr/bin/chromium" },
  { name: "firefox-esr", file: "/usr/bin/firefox-esr" },
];

/** Installs what is missing, on a Debian x86-64 where this process may; returns the names of what is missing still. */
export function installDebianPackages(): readonly string[] {
  const missing = (): readonly string[] => packages.filter(({ file }) => !existsSync(file)).map(({ name }) => name);
  const wanted = missing();
  const mayInstall = process.arch === "x64" && existsSync("/usr/bin/apt-get") && process.getuid?.() === 0;
  if (wanted.length === 0 || !mayInstall) return wanted;
  process.stderr.write(`Installing compilers, tools and browsers for tests: ${wanted.join(", ")}…\n`);
  const apt = (...args: readonly string[]): boolean =>
    spawnSync("apt-get", ["-qq", ...args], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
    }).status === 0;
  // A list of packages that is older than the archive names files that are no longer there.
  if (apt("update")) apt("install", "-y", "--no-install-recommends", ...wanted);
  return missing();
}
