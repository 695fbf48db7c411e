"""Tests of what deploy/ and the Dockerfile say, without the programs that they are for where these are missing."""
