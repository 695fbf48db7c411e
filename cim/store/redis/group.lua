return told(ARGV[1])
