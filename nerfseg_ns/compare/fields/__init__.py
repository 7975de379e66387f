"""The compared methods that learn a scene: radiance fields, and the transfer of labels through their depth."""
