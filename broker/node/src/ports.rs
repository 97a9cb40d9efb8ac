//! What a broker needs from outside its region's data plane.
