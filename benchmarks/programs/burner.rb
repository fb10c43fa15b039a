# Spikes in planted_hot.
def planted_hot
  (1..200_000).sum { |number| number * number % 7 }
end

$stdout.sync = true
puts 'ready'
$stdin.gets
start = Time.now
told = rounds = 0
while Time.now - start < 60
  planted_hot
  rounds += 1
  next if Time.now.to_f - told < 0.1
  told = Time.now.to_f
  puts "#{Process.pid} #{rounds}"
end
