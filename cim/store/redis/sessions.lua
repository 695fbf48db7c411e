return told(read())
