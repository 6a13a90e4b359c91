# fcgi-client.pl SOCKET FILE: sends each delivery of FILE (signature, tab, body a line) by Perl's FCGI::Client, and prints the status of
# each answer.
use strict;
use warnings;
use FCGI::Client;
use IO::Socket::UNIX;

my ($path, $file) = @ARGV;
open my $deliveries, '<', $file or die "$file: $!";
while (my $delivery = <$deliveries>) {
    chomp $delivery;
    my ($signature, $body) = split /\t/, $delivery;
    my $socket = IO::Socket::UNIX->new(Peer => $path) or die "$path: $!";
    my ($answer) = FCGI::Client::Connection->new(sock => $socket, timeout => 120)->request(
        {REQUEST_METHOD => 'POST', CONTENT_LENGTH => length $body, HTTP_X_SIGNATURE => $signature}, $body);
    $answer =~ /^Status: (\d+)/ or die "no status: $answer";
    print "$1\n";
}
