#!/usr/bin/perl
# What Perl's MIME-tools sees: messages on stdin, each behind a line with its length; one line of JSON for each.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use JSON::PP;
use MIME::Parser;

local $SIG{__WARN__} = sub { };
binmode STDIN;
binmode STDOUT;
$| = 1;
my $json = JSON::PP->new->ascii;

sub attr { my ($entity, $name) = @_; my $value = $entity->head->mime_attr($name); return defined $value ? $value : "" }

sub walk {
    my ($entity, $section, $found) = @_;
    if ($entity->is_multipart && $entity->parts) {
        my $number = 0;
        walk($_, join(".", grep { $_ ne "" } $section, ++$number), $found) for $entity->parts;
        return;
    }
    my $octets = $entity->bodyhandle ? $entity->bodyhandle->as_string : "";
    my $name = attr($entity, "content-disposition.filename");
    $name = attr($entity, "content-type.name") if $name eq "";
    my $type = lc $entity->mime_type;
    push @$found, {
        section => $section, type => $type, disposition => lc(attr($entity, "content-disposition")),
        name => $name, size => length $octets, sha256 => sha256_hex($octets),
        text_sha256 => sha256_hex(($octets =~ tr/\r//dr) =~ s/\n+\z//r),
    };
}

while (defined(my $length = <STDIN>)) {
    my $data = "";
    read(STDIN, $data, $length) == $length or die "cut short";
    my $parser = MIME::Parser->new;
    $parser->output_to_core(1);
    $parser->tmp_to_core(1);
    $parser->extract_nested_messages(0);
    $parser->extract_uuencode(0);
    my @found;
    my $answer = eval { walk($parser->parse_data($data), "", \@found); { files => \@found } };
    $answer = { error => substr("$@", 0, 200) } unless $answer;
    print $json->encode($answer), "\n";
}
