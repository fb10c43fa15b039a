# Spikes in planted_hot.
use strict;
use warnings;
use Time::HiRes qw(time);

sub planted_hot {
    my $sum = 0;
    $sum += $_ * $_ % 7 for 1 .. 200_000;
    return $sum;
}

$| = 1;
print "ready\n";
<STDIN>;
my ($start, $told, $rounds) = (time, 0, 0);
while (time - $start < 60) {
    planted_hot();
    $rounds++;
    next if time - $told < 0.1;
    $told = time;
    print "$$ $rounds\n";
}
