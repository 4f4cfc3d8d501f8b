# Homebrew's formula language, as far as launchd/vmbridge.rb speaks it, so that the formula is evaluated where there is no
# Homebrew. What it does not know is an error. It shows what the formula says, not that Homebrew takes it.
#
#   ruby homebrew.rb FORMULA describe     prints its fields, service block and install steps as JSON
#   ruby homebrew.rb FORMULA test BIN     runs its test block with the programs in BIN, in the current folder

require "English"
require "json"
require "pathname"
require "tmpdir"

# A keg's folder, into which nothing is put: what would be is noted.
class Keg < Pathname
  class << self
    attr_accessor :steps
  end

  def install(*names) = Keg.steps << ["install", to_s, *names.map(&:to_s)]
  def write_env_script(target, env) = Keg.steps << ["script", to_s, target.to_s, env.transform_values(&:to_s)]
  def /(other) = Keg.new(super.to_s)
end

# `service do`: each word once, with what was given to it.
class Service < BasicObject
  WORDS = %i[run require_root run_type keep_alive process_type log_path error_log_path].freeze

  def initialize = @said = {}
  attr_reader :said

  WORDS.each do |word|
    define_method(word) do |value|
      ::Kernel.raise "#{word} is said twice" if @said.key?(word)

      @said[word] = value
    end
  end
end

class Formula
  FIELDS = %i[desc homepage url sha256 license].freeze

  class << self
    attr_reader :said, :service_block, :test_block

    FIELDS.each { |field| define_method(field) { |value| (@said ||= {})[field] = value } }
    def depends_on(what) = ((@said ||= {})[:depends_on] ||= []) << what
    def service(&block) = @service_block = block
    def test(&block) = @test_block = block

    # Another formula's folder.
    def [](name) = Struct.new(:opt_prefix, :opt_bin).new(Keg.new("OPT/#{name}"), Keg.new("OPT/#{name}/bin"))
  end

  attr_reader :bin, :testpath

  def initialize(bin)
    @bin = Pathname(bin)
    @testpath = Pathname.pwd
  end

  def version = self.class.said[:url][/v([\d.]+)\.tar\.gz\z/, 1]
  def libexec = Keg.new("LIBEXEC")
  def opt_libexec = Keg.new("OPT/vmbridge/libexec")

  def shell_output(command)
    output = `#{command}`
    raise "#{command}: #{$CHILD_STATUS}" unless $CHILD_STATUS.success?

    output
  end

  def assert_equal(expected, actual)
    raise "expected #{expected.inspect}, got #{actual.inspect}" unless expected == actual
  end

  def refute_path_exists(path)
    raise "#{path} exists" if File.exist?(path)
  end
end

# `install` is run with a `system` that runs nothing.
module Recorded
  def system(*command) = Keg.steps << ["system", *command]
end

file, action, bin = ARGV
load file
formula = Vmbridge.new(action == "test" ? bin : Keg.new("BIN"))
if action == "test"
  formula.instance_exec(&Vmbridge.test_block)
  puts "ok"
else
  Keg.steps = []
  formula.instance_variable_set(:@bin, Keg.new("BIN"))
  formula.extend(Recorded).install
  service = Service.new
  service.instance_exec(&Vmbridge.service_block)
  puts JSON.generate(formula: Vmbridge.said, version: formula.version, caveats: formula.caveats,
                     service: service.said, install: Keg.steps, env: ENV.to_h.slice("npm_config_nodedir"))
end
