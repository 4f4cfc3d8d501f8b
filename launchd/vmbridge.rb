# Homebrew formula. `brew install --build-from-source ./launchd/vmbridge.rb` builds it from the release's source tarball.
#
# Homebrew's prefix belongs to an ordinary user: what lies there, node included, can be replaced by any program that this
# user runs, so root must start nothing from it. The service is therefore that of the root-owned copy which
# `sudo vmbridge install` makes, and its log lies where only root can write.
class Vmbridge < Formula
  desc "Userspace Ethernet switch for virtual machines"
  homepage "https://github.com/vmbridge/vmbridge"
  url "https://github.com/vmbridge/vmbridge/archive/refs/tags/v0.1.0.tar.gz"
  # Of that tarball; whoever makes the release writes it here.
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "Apache-2.0"

  depends_on "python" => :build
  depends_on "node"

  def install
    # The headers that came with this node; node-gyp would fetch them.
    ENV["npm_config_nodedir"] = Formula["node"].opt_prefix.to_s
    # Compiles the addon and the launcher of bin/vmbridge, and then the TypeScript.
    system "npm", "ci", "--no-audit", "--no-fund"
    system "npm", "prune", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"
    # All that `vmbridge install` copies from there.
    libexec.install "bin", "build", "launchd", "node_modules", "LICENSE", "package.json"
    (libexec/"dist").install "dist/src"
    (bin/"vmbridge").write_env_script libexec/"bin/vmbridge", VMBRIDGE_NODE: Formula["node"].opt_bin/"node"
  end

  def caveats
    <<~EOS
      vmnet.framework wants root, and root must not run what lies in Homebrew's prefix, which your user can write to.
      Once, and after every upgrade, make the root-owned copy that the service runs. It has a Node of its own, and
      Homebrew's cannot be copied: it is linked to libraries of Homebrew's. With the one of https://nodejs.org/en/download:
        sudo /usr/local/bin/node #{opt_libexec}/bin/vmbridge install
      Then have it started now and at every boot:
        sudo /opt/vmbridge/bin/vmbridge service install
      That also bridges an interface (--bridged en0), rotates the log and says what is wrong. `sudo brew services start
      vmbridge` starts the same daemon; use one of the two.
    EOS
  end

  service do
    run macos: ["/opt/vmbridge/bin/vmbridge", "daemon", "--uplink", "vmnet", "--mode", "shared",
                "--socket", "/var/run/vmbridge/vmbridge.sock", "--socket-group", "admin",
                "--control", "/var/run/vmbridge/control.sock", "--pidfile", "/var/run/vmbridge/vmbridge.pid",
                "--state-dir", "/var/db/vmbridge/default", "--log-file", "/var/log/vmbridge.log"]
    require_root true
    run_type :immediate
    keep_alive true
    process_type :interactive
    log_path "/var/log/vmbridge.log"
    error_log_path "/var/log/vmbridge.log"
  end

  test do
    require "json"

    assert_equal version.to_s, shell_output("#{bin}/vmbridge --version").strip
    control = testpath/"control"
    places = ["--socket", testpath/"socket", "--control", control, "--state-dir", testpath/"state"]
    daemon = spawn "#{bin}/vmbridge", "daemon", "--uplink", "none", *places.map(&:to_s)
    begin
      300.times do
        break if control.socket?

        sleep 0.1
      end
      status = JSON.parse(shell_output("#{bin}/vmbridge status --control #{control} --json"))
      assert_equal daemon, status["pid"]
      assert_equal "none", status["networks"][0]["uplink"]["kind"]
    ensure
      Process.kill "TERM", daemon
      Process.wait daemon
    end
    assert_equal 0, $CHILD_STATUS.exitstatus
    refute_path_exists testpath/"socket"
  end
end
