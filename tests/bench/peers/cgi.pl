#!/usr/bin/perl
# The same job as a Perl CGI script, with what perl itself brings.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use Fcntl qw(:flock);
use IO::Handle;
use JSON::PP;

read(STDIN, my $body, $ENV{CONTENT_LENGTH});
open(my $file, '<', $ENV{DOORPOST_KEY_FILE}) or die;
chomp(my $key = <$file>);
(my $signature = $ENV{HTTP_X_SIGNATURE} // '') =~ s/^sha256=//;
if (hmac_sha256_hex($body, $key) ne $signature) {
    print "Status: 401 Unauthorized\r\n\r\n";
    exit;
}
my $event = decode_json($body);
open(my $journal, '>>', $ENV{PEER_JOURNAL}) or die;
flock($journal, LOCK_EX);
print $journal $body, "\n";
$journal->flush;
$journal->sync;
print "Content-Type: application/json\r\n\r\n", encode_json({ status => 'stored', event_id => $event->{data}{id} });
