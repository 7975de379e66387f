"""`nerfseg check`: what a scene is and everything that is wrong with it."""
